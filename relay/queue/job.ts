/** What delivery is asked to do for some recipients of a message in the queue. Pure. */
import type { Job } from "../delivery/delivery.ts";
import type { Group } from "../delivery/plan.ts";
import type { Phase } from "../outcome.ts";
import { signerOf } from "../policy/signing.ts";
import type { ActiveTable } from "../table/holder.ts";
import { dsnOf } from "./confirmation.ts";
import type { Entry } from "./entry.ts";

export type JobOptions = {
  readonly body: Buffer;
  /** Whose DKIM keys count. */
  readonly table: ActiveTable | undefined;
  readonly isWanted: () => boolean;
  readonly patience: AbortSignal | undefined;
  readonly phase: (phase: Phase) => void;
};

export function jobFor(
  { envelope }: Pick<Entry, "envelope">,
  { recipients, route, domain }: Group,
  { table, ...more }: JobOptions,
): Job {
  const { id, sender, eightBit, smtputf8, trusted } = envelope;
  return {
    id,
    sender,
    recipients: recipients.map((index) => envelope.recipients[index]?.address ?? ""),
    eightBit,
    smtputf8,
    dsn: dsnOf(envelope),
    signer: table && signerOf({ table: table.table, route, trusted, body: more.body }),
    route,
    domain,
    ...more,
  };
}
