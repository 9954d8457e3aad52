/**
 * What candidates ask for, and what several of them ask for. Counts are kept from one compile of an installation
 * to the next, and only candidates that have changed are counted again: the answer is the same without that.
 */
import type { Candidate } from "./candidates.ts";
import type { Installation } from "./delegation.ts";
import { memoized } from "./memoized.ts";
import type { Pair } from "./permits.ts";
import { sameEnds } from "./same-ends.ts";
import type { TableEntry } from "./table.ts";

export type Wishes = {
  /** By pair as text: whether anybody asks for it. */
  readonly isAsked: (text: string) => boolean;
  /** By pair as text: all who ask, where they are several. */
  readonly contested: ReadonlyMap<string, readonly Candidate[]>;
};

export function pairText({ key, senderKey }: Pair): string {
  return senderKey === undefined ? key : `${key}\n${senderKey}`;
}

/** The same objects as long as it is the same candidate. */
export function entriesOf(candidate: Candidate): readonly TableEntry[] {
  return knownEntries(candidate).entries;
}

const knownEntries = memoized(({ id, pairs }: Candidate) => ({
  entries: pairs.map(({ key, senderKey }): TableEntry => ({ key, senderKey, route: id })),
}));

type Counted = {
  candidates: readonly Candidate[];
  readonly counts: Map<string, number>;
  /** Those of two and more. */
  readonly several: Set<string>;
};

const known = new WeakMap<Installation, Counted>();

export function wishesOf(candidates: readonly Candidate[], installation: Installation): Wishes {
  const counted = known.get(installation) ?? {
    candidates: [],
    counts: new Map(),
    several: new Set(),
  };
  known.set(installation, counted);
  count(counted, candidates);
  const { counts, several } = counted;
  return { isAsked: (text) => counts.has(text), contested: contestedOf(candidates, several) };
}

function count(counted: Counted, candidates: readonly Candidate[]): void {
  const before = counted.candidates;
  const { head, tail } = sameEnds(before, candidates);
  for (const candidate of before.slice(head, before.length - tail)) add(counted, candidate, -1);
  for (const candidate of candidates.slice(head, candidates.length - tail))
    add(counted, candidate, 1);
  counted.candidates = candidates;
}

function add({ counts, several }: Counted, candidate: Candidate, step: 1 | -1): void {
  for (const entry of entriesOf(candidate)) {
    const text = pairText(entry);
    const next = (counts.get(text) ?? 0) + step;
    if (next === 0) counts.delete(text);
    else counts.set(text, next);
    if (next > 1) several.add(text);
    else several.delete(text);
  }
}

function contestedOf(
  candidates: readonly Candidate[],
  several: ReadonlySet<string>,
): ReadonlyMap<string, readonly Candidate[]> {
  const contested = new Map<string, Candidate[]>();
  if (several.size === 0) return contested;
  for (const candidate of candidates) {
    for (const entry of entriesOf(candidate)) {
      const text = pairText(entry);
      if (!several.has(text)) continue;
      const claimants = contested.get(text);
      if (claimants === undefined) contested.set(text, [candidate]);
      else claimants.push(candidate);
    }
  }
  return contested;
}
