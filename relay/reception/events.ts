/** What reception tells the world, turned into log lines and metrics elsewhere. */
import type { Client } from "../listener/reception.ts";
import type { Reply } from "../outcome.ts";
import type { RefusalReason } from "../policy/admit.ts";
import type { Envelope } from "../spool/records.ts";

export type Refused = {
  readonly client: Client;
  readonly reason: RefusalReason;
  readonly reply: Reply;
  readonly sender?: string;
  readonly recipient?: string;
};

export type Accepted = {
  readonly envelope: Envelope;
  readonly client: Client;
  readonly helo: string;
  readonly ms: number;
};

export type ReceptionEvents = {
  accepted(accepted: Accepted): void;
  refused(refused: Refused): void;
  /** A trusted client's line endings were mended. */
  normalised(event: { readonly client: Client; readonly fault: string }): void;
  /** The spool did not take a message, which its client was told to send again. */
  unwritten(error: unknown): void;
};
