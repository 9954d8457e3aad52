/**
 * A message in the queue, and what a round of attempts has brought it so far. Pure: values and what follows
 * from them; queue.ts moves them.
 */
import type { Route } from "../../routing/route.ts";
import type { DsnAction } from "../delivery/dsn.ts";
import type { DeferCause, Outcome } from "../outcome.ts";
import type { Envelope, Pending } from "../spool/records.ts";
import type { Change } from "../spool/spool.ts";
import type { ActiveTable } from "../table/holder.ts";
import type { Met } from "./lanes.ts";
import type { Report } from "./reports.ts";

export type Entry = {
  readonly envelope: Envelope;
  /** By recipient; null is finished. */
  readonly pending: (Pending | null)[];
  /** The route that each recipient was last given, to see on a reload whether it changed. */
  readonly routes: (Route | undefined)[];
  body: Buffer | undefined;
  /** Recipients that are due and wait for their route's turn (`maxMessagesPerSecond`). */
  readonly paced: Set<number>;
  /** Transactions of this round, and one for the round itself: it is due again when that has ended. */
  underWay: number;
  /** The table of this round: what it began with counts until a reload says otherwise. */
  table: ActiveTable | undefined;
  readonly round: Round;
};

/** What a round has brought so far; its reports go out together at its end. */
type Round = {
  /** Recipients that are done, and of which their sender is told. */
  ended: {
    readonly index: number;
    readonly action: Exclude<DsnAction, "delayed">;
    readonly report: Report;
  }[];
  delayed: Report[];
  /** Recipients have changed since the round began. */
  isDirty: boolean;
  /** Writes of this message's state, one after the other. */
  saved: Promise<void>;
  isSaveWaiting: boolean;
};

export function freshRound(): Round {
  return {
    ended: [],
    delayed: [],
    isDirty: false,
    saved: Promise.resolve(),
    isSaveWaiting: false,
  };
}

export function stateOf({ envelope, pending }: Entry): Change {
  return { kind: "update", id: envelope.id, state: { recipients: [...pending] } };
}

/** Words that say that no host was there to answer. */
const silence: ReadonlySet<DeferCause> = new Set(["connect", "timeout", "dns", "tls", "protocol"]);

export function metBy(outcomes: readonly Outcome[]): Met {
  const isSilent = (each: Outcome): boolean => each.kind === "deferred" && silence.has(each.cause);
  return outcomes.every(isSilent) ? "dead" : "alive";
}

/** A reload makes new objects also for routes that did not change. */
export function isSameRoute(a: Route | undefined, b: Route | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
