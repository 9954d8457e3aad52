/**
 * What a run must show beyond the ledger's reckoning: how soon a changed route counts, that nothing follows the old
 * one once the new one is Programmed, that no table comes back. Pure: over messages and sightings.
 */
import type { Arrival, Entry } from "../ledger/reckoning.ts";
import type { Sighted } from "./sightings.ts";

/** A route of one domain that was given another host. */
export type Move = {
  readonly domain: string;
  readonly to: string;
  /** When `kubectl apply` was begun. */
  readonly appliedMs: number;
  /** When the API server's watch told of it. */
  readonly storedMs: number;
  /** When Programmed=True was seen with the new generation. */
  readonly programmedMs: number;
  /** Index of the table that had been published then, among all that were seen. */
  readonly table: number;
};

/** How long after a relay the observer may see a table. */
const slackMs = 2000;

/** Milliseconds from the beginning of `kubectl apply` to the first message sent after it that arrived at the new host. */
export function takenMs(
  move: Move,
  entries: readonly Entry[],
  arrivals: readonly Arrival[],
): number | undefined {
  const after = new Set(
    entries
      .filter(({ domain, sentMs }) => domain === move.domain && sentMs >= move.appliedMs)
      .map(({ number }) => number),
  );
  const there = arrivals.filter(({ number, host }) => host === move.to && after.has(number));
  if (there.length === 0) return undefined;
  return Math.min(...there.map(({ atMs }) => atMs)) - move.appliedMs;
}

/** Arrivals elsewhere of messages that were sent when a move was Programmed and before the next was applied. */
export function strays(
  moves: readonly Move[],
  entries: readonly Entry[],
  arrivals: readonly Arrival[],
): readonly Arrival[] {
  const hosts = new Map<number, string>();
  for (const { number, domain, sentMs } of entries) {
    const ofDomain = moves.filter((move) => move.domain === domain);
    const begun = ofDomain.filter(({ appliedMs }) => appliedMs <= sentMs).at(-1);
    if (begun !== undefined && begun.programmedMs < sentMs) hosts.set(number, begun.to);
  }
  return arrivals.filter(({ number, host }) => (hosts.get(number) ?? host) !== host);
}

/** Answers of ready relays, asked once a move was Programmed, that they serve a table older than the move's. */
export function laggards(
  moves: readonly Move[],
  tables: readonly Pick<Sighted<"table">, "digest" | "atMs">[],
  answers: readonly Sighted<"serves">[],
): readonly Sighted<"serves">[] {
  return answers.filter(({ digest, atMs: askedMs }) => {
    const move = moves.findLast(({ programmedMs }) => programmedMs < askedMs);
    if (move === undefined) return false;
    const isIt = (table: (typeof tables)[number]): boolean =>
      table.digest === digest && table.atMs <= askedMs + slackMs;
    return tables.findLastIndex(isIt) < move.table;
  });
}

/** Tables that were published again after another had taken their place. */
export function returned(tables: readonly Pick<Sighted<"table">, "digest">[]): readonly string[] {
  const gone = new Set<string>();
  const back: string[] = [];
  let standing = "";
  for (const { digest } of tables) {
    if (digest === standing) continue;
    if (gone.has(digest)) back.push(digest);
    gone.add(standing);
    standing = digest;
  }
  return back;
}

/** Of an even number the higher of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
