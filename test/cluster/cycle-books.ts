/** What cycles of fewer and more relays must have come to, beside the ledger's reckoning: pure. */
import type { Arrival } from "../ledger/reckoning.ts";

export type Repeats = {
  /** Messages that arrived more than once. */
  readonly twice: number;
  /** Of these, with as many arrivals too many that the next hop had left unanswered. */
  readonly unanswered: number;
  /** Of the rest, that were under way when a relay was killed. */
  readonly killed: number;
  readonly unexplained: readonly number[];
};

export type Span = { readonly fromMs: number; readonly toMs: number };

/** `kills`: when relays were killed, with what was under way then. */
export function repeatsIn(
  arrivals: readonly (Arrival & { readonly answered?: boolean })[],
  kills: readonly Span[],
): Repeats {
  const isIn = (atMs: number): boolean =>
    kills.some(({ fromMs, toMs }) => atMs >= fromMs && atMs <= toMs);
  let unanswered = 0;
  let killed = 0;
  const unexplained: number[] = [];
  const repeated = [...Map.groupBy(arrivals, ({ number }) => number)].filter(
    ([, each]) => each.length > 1,
  );
  for (const [number, each] of repeated) {
    const dropped = each.filter(({ answered }) => answered === false);
    const lost = each.filter(({ answered, atMs }) => answered === false || isIn(atMs));
    if (dropped.length >= each.length - 1) unanswered += 1;
    else if (lost.length >= each.length - 1) killed += 1;
    else unexplained.push(number);
  }
  return { twice: repeated.length, unanswered, killed, unexplained };
}
