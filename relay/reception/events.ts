/** What reception tells the world, turned into log lines and metrics elsewhere. */
import type { AuthVerdict, Credentials, Identity } from "../auth/identity.ts";
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
  /** Who authenticated, where anybody did. */
  readonly identity: Identity | undefined;
  readonly ms: number;
};

/** Somebody tried to authenticate. The secret among the credentials is not for logs. */
export type Authenticated = {
  readonly client: Client;
  readonly credentials: Credentials;
  readonly verdict: AuthVerdict;
};

export type ReceptionEvents = {
  accepted(accepted: Accepted): void;
  authenticated(event: Authenticated): void;
  refused(refused: Refused): void;
  /** A trusted client's line endings were mended, or how its message begins. */
  normalised(event: { readonly client: Client; readonly fault: string }): void;
  /** The spool did not take a message, which its client was told to send again. */
  unwritten(error: unknown): void;
};
