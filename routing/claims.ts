/**
 * Who holds a key that several claim: delegation first (the installation's own namespace), then the
 * incumbent, then the older resource, then namespace/name. A key whose incumbent has vanished while
 * another waits stays with its last target for a while, so that a re-created resource finds it again.
 */
import { byAge, type Candidate } from "./candidates.ts";
import type { Delegation, Installation } from "./delegation.ts";
import { limits } from "./limits.ts";
import { memoized } from "./memoized.ts";
import type { Pair } from "./permits.ts";
import type { Route, RouteId } from "./route.ts";
import {
  holderOf,
  type RouteTable,
  routeOf,
  routesOf,
  type TableEntry,
  tableEntries,
} from "./table.ts";

export type ClaimsInput = {
  readonly candidates: readonly Candidate[];
  /** Resources of this class that exist now, good or bad. */
  readonly present: ReadonlySet<RouteId>;
  readonly previous: RouteTable;
  readonly delegation: Delegation;
  readonly installation: Installation;
  readonly nowMs: number;
  readonly conflictHoldMs: number;
};

export type Loss = { readonly loser: RouteId; readonly pair: Pair; readonly winner: RouteId };

/** A hold that has run out: the key has gone to whoever waited for it. */
export type Passed = { readonly pair: Pair; readonly from: RouteId; readonly to: RouteId };

export type Decided = {
  readonly entries: readonly TableEntry[];
  readonly losses: readonly Loss[];
  /** Pairs that found no room under their recipient key. */
  readonly crowdedOut: readonly TableEntry[];
  /** Routes of vanished resources that keep contested keys, with `heldUntilMs`. */
  readonly heldRoutes: ReadonlyMap<RouteId, Route>;
  readonly passed: readonly Passed[];
};

export function decideClaims(input: ClaimsInput): Decided {
  const { first, contested } = claimsOf(input.candidates);
  const vanished = vanishedHolders(input, first);
  const entries: TableEntry[] = [];
  const losses: Loss[] = [];
  const passed: Passed[] = [];
  const heldRoutes = new Map<RouteId, Route>();
  for (const [text, entry] of first) {
    const claimants = contested.get(text) ?? [];
    const gone = vanished.get(text);
    if (claimants.length === 0 && gone === undefined) {
      entries.push(entry);
      continue;
    }
    const pair = { key: entry.key, senderKey: entry.senderKey };
    const best = winnerOf(pair, claimants, input)?.id ?? entry.route;
    const outranks = gone !== undefined && isOwnId(best, input) && !isOwnId(gone.id, input);
    const isHeld = gone !== undefined && !outranks && isHolding(gone, input.nowMs);
    const winner = isHeld ? gone.id : best;
    if (isHeld) heldRoutes.set(gone.id, gone);
    else if (gone !== undefined) passed.push({ pair, from: gone.id, to: best });
    entries.push({ ...pair, route: winner });
    const losers = claimants.length === 0 ? [entry.route] : claimants.map(({ id }) => id);
    for (const id of losers) if (id !== winner) losses.push({ loser: id, pair, winner });
  }
  return { ...withRoom(entries, input), losses, heldRoutes, passed };
}

export function pairText({ key, senderKey }: Pair): string {
  return senderKey === undefined ? key : `${key}\n${senderKey}`;
}

/** What each candidate asks for: the same objects as long as it is the same candidate. */
const wishesOf = memoized((candidate: Candidate): { readonly entries: readonly TableEntry[] } => ({
  entries: candidate.pairs.map(({ key, senderKey }) => ({ key, senderKey, route: candidate.id })),
}));

type Claims = {
  /** By pair, in order of the candidates. */
  readonly first: ReadonlyMap<string, TableEntry>;
  /** All claimants of those pairs that have several. */
  readonly contested: ReadonlyMap<string, readonly Candidate[]>;
};

function claimsOf(candidates: readonly Candidate[]): Claims {
  const first = new Map<string, TableEntry>();
  const contested = new Map<string, Candidate[]>();
  const byId = new Map(candidates.map((candidate) => [candidate.id, candidate]));
  for (const candidate of candidates) {
    for (const entry of wishesOf(candidate).entries) {
      const text = pairText(entry);
      const other = first.get(text);
      if (other === undefined) {
        first.set(text, entry);
        continue;
      }
      const claimants = contested.get(text) ?? [byId.get(other.route) ?? candidate];
      claimants.push(candidate);
      contested.set(text, claimants);
    }
  }
  return { first, contested };
}

/** Contested pairs of the table before whose resource is gone, with the route as it would be held. */
function vanishedHolders(
  input: ClaimsInput,
  claimed: ReadonlyMap<string, unknown>,
): ReadonlyMap<string, Route & { readonly heldUntilMs: number }> {
  const { present, previous, delegation, nowMs, conflictHoldMs } = input;
  const vanished = new Map<string, Route & { readonly heldUntilMs: number }>();
  if (isEachPresent(previous, present)) return vanished;
  const held = new Map<RouteId, Route & { readonly heldUntilMs: number }>();
  for (const { route: id, ...pair } of tableEntries(previous)) {
    if (present.has(id)) continue;
    const text = pairText(pair);
    const route = routeOf(previous, id);
    if (!claimed.has(text) || route === undefined) continue;
    if (delegation.permission(namespaceOf(id), pair.key).kind === "refused") continue;
    const known = held.get(id) ?? {
      ...route,
      heldUntilMs: route.heldUntilMs ?? nowMs + conflictHoldMs,
    };
    held.set(id, known);
    vanished.set(text, known);
  }
  return vanished;
}

function isEachPresent(table: RouteTable, present: ReadonlySet<RouteId>): boolean {
  for (const { id } of routesOf(table)) if (!present.has(id)) return false;
  return true;
}

function isHolding(gone: { readonly heldUntilMs: number }, nowMs: number): boolean {
  return nowMs < gone.heldUntilMs;
}

function namespaceOf(id: RouteId): string {
  return id.slice(0, Math.max(0, id.indexOf("/")));
}

function isOwnId(id: RouteId, { installation }: ClaimsInput): boolean {
  return namespaceOf(id) === installation.namespace;
}

function isOwn(candidate: Candidate, { installation }: ClaimsInput): boolean {
  return candidate.namespace === installation.namespace;
}

/** Undefined where nobody else claims it. */
function winnerOf(
  pair: Pair,
  claimants: readonly Candidate[],
  input: ClaimsInput,
): Candidate | undefined {
  const [first, ...others] = claimants;
  if (first === undefined) return undefined;
  const incumbent = holderOf(input.previous, pair.key, pair.senderKey);
  return others.reduce(
    (best, other) => (precedence(other, best, incumbent, input) < 0 ? other : best),
    first,
  );
}

function precedence(
  a: Candidate,
  b: Candidate,
  incumbent: RouteId | undefined,
  input: ClaimsInput,
): number {
  if (isOwn(a, input) !== isOwn(b, input)) return isOwn(a, input) ? -1 : 1;
  if ((a.id === incumbent) !== (b.id === incumbent)) return a.id === incumbent ? -1 : 1;
  return byAge(a, b);
}

/** Bounds the sender entries under one recipient key, or one tenant could fill a shard. */
function withRoom(
  entries: readonly TableEntry[],
  input: ClaimsInput,
): Pick<Decided, "entries" | "crowdedOut"> {
  const counts = new Map<string, number>();
  let fullest = 0;
  for (const { key, senderKey } of entries) {
    if (senderKey === undefined) continue;
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    fullest = Math.max(fullest, count);
  }
  if (fullest <= limits.sendersPerKeyMax) return { entries, crowdedOut: [] };
  const byId = new Map(input.candidates.map((candidate) => [candidate.id, candidate]));
  const isIncumbent = ({ key, senderKey, route }: TableEntry) =>
    holderOf(input.previous, key, senderKey) === route;
  const rank = (a: TableEntry, b: TableEntry): number => {
    const [left, right] = [byId.get(a.route), byId.get(b.route)];
    if (isIncumbent(a) !== isIncumbent(b)) return isIncumbent(a) ? -1 : 1;
    const age = left !== undefined && right !== undefined ? byAge(left, right) : 0;
    return age || (pairText(a) < pairText(b) ? -1 : 1);
  };
  const kept: TableEntry[] = [];
  const crowdedOut: TableEntry[] = [];
  const used = new Map<string, number>();
  for (const entry of entries.toSorted(rank)) {
    const count = (used.get(entry.key) ?? 0) + (entry.senderKey === undefined ? 0 : 1);
    used.set(entry.key, count);
    if (entry.senderKey !== undefined && count > limits.sendersPerKeyMax) crowdedOut.push(entry);
    else kept.push(entry);
  }
  return { entries: kept, crowdedOut };
}
