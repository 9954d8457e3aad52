/** The keys under which mail is admitted and which no MailRoute's lists name in so many words. Pure. */
import { everyDomain, suffixKey } from "../../routing/key.ts";

/** Of a recipient that no route named: rule 5, MX without a route. */
export const outboundKey = "outbound";

/** "suffix:.", the rule for every domain. */
export const everyDomainKey: string = suffixKey(everyDomain);
