/**
 * The ledger's books: what was sent and answered, what arrived where, and what rules named which hosts
 * when. Pure: reckon compares them. A message answered 250 must arrive at a host that some rule named
 * between its being sent and its arrival.
 */
export type Entry = {
  readonly number: number;
  readonly domain: string;
  readonly sentMs: number;
  answered: boolean;
};

export type Arrival = { readonly number: number; readonly host: string; readonly atMs: number };

/** From `fromMs` until the next rule of the domain, its mail goes to `host`; undefined: nowhere, it waits. */
export type Rule = {
  readonly domain: string;
  readonly host: string | undefined;
  readonly fromMs: number;
};

export type Books = {
  readonly entries: readonly Entry[];
  readonly arrivals: readonly Arrival[];
  readonly rules: readonly Rule[];
  /** How long after a rule's change the one before may still be followed. */
  readonly slackMs: number;
};

export type Reckoning = {
  readonly sent: number;
  readonly answered: number;
  readonly missing: number;
  readonly wrongHost: number;
  readonly duplicates: number;
  /** The first few of each, to look at. */
  readonly missingNumbers: readonly number[];
  readonly wrongArrivals: readonly Arrival[];
};

const shown = 20;

export function reckon({ entries, arrivals, rules, slackMs }: Books): Reckoning {
  const byNumber = new Map(entries.map((entry) => [entry.number, entry]));
  const timelines = Map.groupBy(rules, ({ domain }) => domain);
  const seen = new Set<number>();
  const wrong: Arrival[] = [];
  let duplicates = 0;
  for (const arrival of arrivals) {
    const entry = byNumber.get(arrival.number);
    const timeline = entry === undefined ? [] : (timelines.get(entry.domain) ?? []);
    const sentMs = entry?.sentMs ?? 0;
    if (!hostsBetween(timeline, sentMs - slackMs, arrival.atMs).has(arrival.host))
      wrong.push(arrival);
    if (seen.has(arrival.number)) duplicates += 1;
    seen.add(arrival.number);
  }
  const answered = entries.filter((entry) => entry.answered);
  const missing = answered.filter(({ number }) => !seen.has(number));
  return {
    sent: entries.length,
    answered: answered.length,
    missing: missing.length,
    wrongHost: wrong.length,
    duplicates,
    missingNumbers: missing.slice(0, shown).map(({ number }) => number),
    wrongArrivals: wrong.slice(0, shown),
  };
}

/** The hosts that the rules in force at any time from `fromMs` to `toMs` name. */
function hostsBetween(
  timeline: readonly Rule[],
  fromMs: number,
  toMs: number,
): ReadonlySet<string> {
  const hosts = new Set<string>();
  for (const [index, rule] of timeline.entries()) {
    const endMs = timeline[index + 1]?.fromMs ?? Number.POSITIVE_INFINITY;
    if (rule.fromMs <= toMs && endMs >= fromMs && rule.host !== undefined) hosts.add(rule.host);
  }
  return hosts;
}
