/** What delivery is asked to do for some recipients of a message in the queue. Pure. */
import type { Job } from "../delivery/delivery.ts";
import type { Group } from "../delivery/plan.ts";
import { signerOf } from "../policy/signing.ts";
import type { ActiveTable } from "../table/holder.ts";
import { dsnOf } from "./confirmation.ts";
import type { Entry } from "./entry.ts";

export type JobOptions = {
  readonly body: Buffer;
  /** Whose DKIM keys count. */
  readonly table: ActiveTable | undefined;
  readonly isWanted: () => boolean;
};

export function jobFor(
  { envelope }: Pick<Entry, "envelope">,
  { recipients, route, domain }: Group,
  { body, table, isWanted }: JobOptions,
): Job {
  const { id, sender, eightBit, smtputf8, trusted } = envelope;
  return {
    id,
    sender,
    recipients: recipients.map(({ address }) => address),
    body,
    eightBit,
    smtputf8,
    dsn: dsnOf(envelope),
    signer: table && signerOf({ table: table.table, route, trusted, body }),
    route,
    domain,
    isWanted,
  };
}
