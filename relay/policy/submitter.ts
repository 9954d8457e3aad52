/**
 * Whom an authenticated client may send as: pure. It covers the envelope and the message's own From and
 * Sender. What gives the right is the MailGrant of its namespace, or the users' file; nothing gives none.
 */
import type { Address } from "../../routing/address.ts";
import { formatAddress } from "../../routing/address.ts";
import { everyDomain, type SenderKey, suffixKey } from "../../routing/key.ts";
import { senderKeysOf } from "../../routing/match.ts";
import { type RouteTable, rightsOf } from "../../routing/table.ts";
import type { Identity } from "../auth/identity.ts";
import type { Reply } from "../outcome.ts";
import { authorsOf } from "./authors.ts";

export type Submitter = {
  readonly name: string;
  readonly keys: readonly SenderKey[];
  /** Whose messages are counted together, and how many there may be in an hour; undefined: any number. */
  readonly hourly: { readonly key: string; readonly max: number } | undefined;
  /** The table may be old, or a grant unreadable: what is not given here may be given all the same. */
  readonly stale: boolean;
};

const everybody: SenderKey = suffixKey(everyDomain);

export function submitterOf(
  identity: Identity,
  { table, stale }: { readonly table: RouteTable; readonly stale: boolean },
): Submitter {
  const { name, namespace, senders, messagesPerHour } = identity;
  if (senders !== undefined) {
    const hourly = messagesPerHour && { key: `user ${name}`, max: messagesPerHour };
    return { name, keys: senders, hourly: hourly || undefined, stale: false };
  }
  const rights = rightsOf(table, namespace);
  const max = rights.messagesPerHour;
  const hourly = max === undefined ? undefined : { key: `namespace ${namespace}`, max };
  return { name, keys: rights.senders, hourly, stale: stale || rights.inDoubt === true };
}

/** Undefined: it may. `sender` undefined is the null sender, which reports use and nobody owns. */
export function envelopeRefusal(
  submitter: Submitter,
  sender: Address | undefined,
): Reply | undefined {
  if (isUnrestricted(submitter)) return undefined;
  if (sender === undefined) return refusal(submitter, "with the null sender");
  return maySendAs(submitter, sender)
    ? undefined
    : refusal(submitter, `as <${formatAddress(sender)}>`);
}

/** Undefined: every author of the message is one that it may send as. `body` has CRLF lines. */
export function authorsRefusal(submitter: Submitter, body: Uint8Array): Reply | undefined {
  if (isUnrestricted(submitter)) return undefined;
  const authors = authorsOf(body);
  if (!authors.ok) return { code: 550, status: "5.7.1", text: `the message has ${authors.why}` };
  const foreign = authors.addresses.find((author) => !maySendAs(submitter, author));
  return foreign === undefined
    ? undefined
    : refusal(submitter, `with From or Sender <${formatAddress(foreign)}>`);
}

function isUnrestricted({ keys }: Submitter): boolean {
  return keys.includes(everybody);
}

function maySendAs({ keys }: Submitter, address: Address): boolean {
  return senderKeysOf(address).some((key) => keys.includes(key));
}

function refusal({ name, stale }: Submitter, how: string): Reply {
  return stale
    ? { code: 450, status: "4.7.1", text: `whether ${name} may send ${how} is not known now` }
    : { code: 550, status: "5.7.1", text: `${name} may not send ${how}` };
}
