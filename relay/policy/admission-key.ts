/** The keys under which mail is admitted and which no MailRoute's lists name in so many words. Pure. */
import { everyDomain, type RecipientKey, suffixKey } from "../../routing/key.ts";

/** Of a recipient that no route named: rule 5, MX without a route. */
export const outboundKey = "outbound";

/** Whether it may be wider than another key of the same domain. */
export function isSuffixKey(key: RecipientKey): boolean {
  return key.startsWith("suffix:");
}

/** "suffix:.", the rule for every domain. */
export const everyDomainKey: string = suffixKey(everyDomain);
