/**
 * A message in the queue, and what a round of attempts has brought it so far. Pure: values and what follows
 * from them; queue.ts moves them.
 */
import type { Route } from "../../routing/route.ts";
import type { DsnAction } from "../delivery/dsn.ts";
import type { DeferCause, Outcome } from "../outcome.ts";
import type { Envelope, Held, Pending, State, StoredRecipient } from "../spool/records.ts";
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
  held: Held | undefined;
  /** Times in a row that the process died while it delivered this message. */
  deaths: number;
  /** What a person has ordered, to be carried out when nothing is under way. */
  readonly orders: Order[];
  readonly round: Round;
};

export type Order = {
  /** Changes the entry; what it has changed is then written. */
  readonly apply: (entry: Entry) => void;
  /** It is on disk. */
  readonly done: () => void;
};

/** What a round has brought so far; its reports go out together at its end. */
export type Round = {
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

export function freshEntry(envelope: Envelope, state: State): Entry {
  return {
    envelope,
    pending: [...state.recipients],
    routes: state.recipients.map(() => undefined),
    body: undefined,
    paced: new Set(),
    underWay: 0,
    table: undefined,
    held: state.held,
    deaths: state.deaths ?? 0,
    orders: [],
    round: freshRound(),
  };
}

export function stateIn({ pending, held, deaths }: Entry): State {
  return {
    recipients: [...pending],
    ...(held !== undefined && { held }),
    ...(deaths > 0 && { deaths }),
  };
}

export function stateOf(entry: Entry): Change {
  return { kind: "update", id: entry.envelope.id, state: stateIn(entry) };
}

export function isFinished({ pending }: Entry): boolean {
  return pending.every((each) => each === null);
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

/** The recipient under the key that admits it now. */
export function admitted({ envelope, pending }: Entry, index: number): StoredRecipient {
  const recipient = envelope.recipients[index] as StoredRecipient;
  const key = pending[index]?.key;
  return key === undefined ? recipient : { ...recipient, key };
}

/** Whose turn it uses: a sender of a million messages under as many names is still one domain. */
export function partyOf({ sender }: Envelope): string {
  return sender.slice(sender.lastIndexOf("@") + 1);
}
