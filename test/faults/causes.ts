/**
 * Why a message came twice: pure. A second arrival is explained where the next hop's answer to the first was lost,
 * or where the relay could not write down what it had heard before it ended.
 */
import type { Arrival } from "../ledger/reckoning.ts";

/** What came between an arrival and the next of the same message. */
export type Cause =
  /** The next hop took it and closed without an answer. */
  | "answer lost"
  /** The next hop went down when it had just taken it. */
  | "hop gone"
  /** The process ended within a moment of it. */
  | "ended"
  /** The disk took no writes, and the process ended before it did. */
  | "unwritten"
  | "unexplained";

export type Span = { readonly fromMs: number; readonly toMs: number };

export type Events = {
  readonly arrivals: readonly Arrival[];
  readonly dropped: ReadonlySet<Arrival>;
  /** When the process ended. */
  readonly ends: readonly number[];
  /** When the hop "flapping" went down. */
  readonly downs: readonly number[];
  /** When calls failed. */
  readonly faults: readonly Span[];
};

/** A loaded machine reads an answer, writes it down and syncs within this. */
const momentMs = 3000;

export function causesOf(events: Events): Record<Cause, number> {
  const counts = { "answer lost": 0, "hop gone": 0, ended: 0, unwritten: 0, unexplained: 0 };
  for (const list of Map.groupBy(events.arrivals, ({ number }) => number).values()) {
    for (const [index, again] of list.entries()) {
      const before = list[index - 1];
      if (before !== undefined) counts[causeOf(before, again, events)] += 1;
    }
  }
  return counts;
}

function causeOf(before: Arrival, again: Arrival, { dropped, ends, downs, faults }: Events): Cause {
  const isBetween = (atMs: number): boolean => atMs >= before.atMs && atMs <= again.atMs;
  const isSoon = (atMs: number): boolean => isBetween(atMs) && atMs - before.atMs <= momentMs;
  if (dropped.has(before)) return "answer lost";
  if (before.host === "flapping" && downs.some(isSoon)) return "hop gone";
  if (ends.some(isSoon)) return "ended";
  const isBroken = ({ fromMs, toMs }: Span): boolean =>
    fromMs <= before.atMs + momentMs && toMs >= before.atMs;
  return faults.some(isBroken) && ends.some(isBetween) ? "unwritten" : "unexplained";
}
