/** What the queue tells the world: one call per mail event, turned into a log line and metrics elsewhere. */
import type { Outcome } from "../outcome.ts";
import type { Envelope, StoredRecipient } from "../spool/records.ts";
import type { Step } from "./schedule.ts";

export type Attempted = {
  readonly envelope: Envelope;
  readonly recipient: StoredRecipient;
  /** Id of the route, "" where there was none. */
  readonly route: string;
  readonly outcome: Outcome;
  readonly step: Step;
  readonly attempt: number;
  readonly ms: number;
  readonly nowMs: number;
};

export type QueueEvents = {
  attempted(attempted: Attempted): void;
  /** A DSN was queued because of the message `about`. */
  reported(dsn: Envelope, about: string): void;
  /** A DSN was due and there is nobody to send it to; `why` says it. */
  unreported(about: string, why: string): void;
  /** The spool did not take a change; it is tried again. */
  unsaved(error: unknown): void;
  corrupt(id: string): void;
  /** Nobody tries it before it is released. */
  held(id: string, why: string): void;
};
