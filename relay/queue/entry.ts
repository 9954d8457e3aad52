/**
 * A message in the queue, and what a round of attempts has brought it so far. Pure: values and what follows
 * from them; queue.ts moves them.
 */
import { parseAddress } from "../../routing/address.ts";
import type { Retry, Route } from "../../routing/route.ts";
import type { DsnAction } from "../delivery/dsn.ts";
import { laneKeyOf } from "../delivery/plan.ts";
import type { Change } from "../spool/changes.ts";
import type { Envelope, Held, Pending, State, StoredRecipient } from "../spool/records.ts";
import type { ActiveTable } from "../table/holder.ts";
import type { Clock } from "./due.ts";
import type { Report } from "./reports.ts";

/** Hundreds of thousands of these wait: what few of them need is made when they need it. */
export type Entry = {
  readonly envelope: Envelope;
  /** By recipient; null is finished. */
  readonly pending: (Pending | null)[];
  /** The route that each recipient was last given, to see on a reload whether it changed. */
  readonly routes: (Route | undefined)[];
  body: Buffer | undefined;
  /** Recipients that are due and wait for their route's turn (`maxMessagesPerSecond`). */
  paced: Set<number> | undefined;
  /** Transactions of this round, and one for the round itself: it is due again when that has ended. */
  underWay: number;
  /** The table of this round: what it began with counts until a reload says otherwise. */
  table: ActiveTable | undefined;
  held: Held | undefined;
  /** Times in a row that the process died while it delivered this message. */
  deaths: number;
  /** A person or a new route wants it tried now, whatever is known of its destination. */
  isUrgent: boolean;
  /** Destinations by whose life it is woken. */
  parkedUnder: readonly string[];
  /** What a person has ordered, to be carried out when nothing is under way. */
  orders: Order[] | undefined;
  /** Undefined: it has brought nothing yet. */
  round: Round | undefined;
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

/** The round that is under way. */
export function roundOf(entry: Entry): Round {
  entry.round ??= {
    ended: [],
    delayed: [],
    isDirty: false,
    saved: Promise.resolve(),
    isSaveWaiting: false,
  };
  return entry.round;
}

const nowhere: readonly string[] = [];

export function freshEntry(envelope: Envelope, state: State): Entry {
  return {
    envelope,
    pending: [...state.recipients],
    routes: new Array<Route | undefined>(state.recipients.length).fill(undefined),
    body: undefined,
    paced: undefined,
    underWay: 0,
    table: undefined,
    held: state.held,
    deaths: state.deaths ?? 0,
    isUrgent: false,
    parkedUnder: nowhere,
    orders: undefined,
    round: undefined,
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

/** What a due time is held against: now, and the back-off of a recipient that has had no route yet. */
export type Moment = { readonly nowMs: number; readonly retry: Retry };

export function momentOf(parts: { readonly clock: Clock; readonly outbound: Route }): Moment {
  return { nowMs: parts.clock.now(), retry: parts.outbound.retry };
}

/**
 * When the recipient is due; infinity: he is finished. A time further ahead than twice its route's longest back-off was
 * never meant so: the clock was set back since, and it is due now.
 */
export function dueOf(entry: Entry, index: number, { nowMs, retry }: Moment): number {
  const pending = entry.pending[index];
  if (pending === null || pending === undefined) return Number.POSITIVE_INFINITY;
  const { maxMs } = entry.routes[index]?.retry ?? retry;
  return pending.dueAtMs - nowMs > 2 * maxMs ? nowMs : pending.dueAtMs;
}

/** When the first of its recipients is due that does not wait for its route's turn; infinity: none. */
export function dueAtMs(entry: Entry, moment: Moment): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (const index of entry.pending.keys()) {
    if (entry.paced?.has(index) !== true)
      earliest = Math.min(earliest, dueOf(entry, index, moment));
  }
  return earliest;
}

/** Those recipients wait for their route's turn. */
export function pace(entry: Entry, indexes: readonly number[]): void {
  entry.paced ??= new Set();
  for (const index of indexes) entry.paced.add(index);
}

export function isFinished({ pending }: Entry): boolean {
  return pending.every((each) => each === null);
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

/** In which lane the recipient was when it was last tried; undefined: in none. */
export function laneOf({ envelope, routes }: Entry, index: number): string | undefined {
  const route = routes[index];
  if (route === undefined) return undefined;
  const address = parseAddress(envelope.recipients[index]?.address ?? "", { utf8: true });
  return laneKeyOf({ route, domain: address?.domain ?? "" });
}

/** Whose turn it uses: a sender of a million messages under as many names is still one domain. */
export function partyOf({ sender }: Envelope): string {
  return sender.slice(sender.lastIndexOf("@") + 1);
}
