/**
 * Who holds a key that several claim: delegation first (the installation's own namespace), then the
 * incumbent, then the older resource, then namespace/name. A key whose incumbent has vanished while
 * another waits stays with its last target for a while, so that a re-created resource finds it again.
 */
import { byAge, type Candidate } from "./candidates.ts";
import type { Delegation, Installation } from "./delegation.ts";
import { limits } from "./limits.ts";
import type { Pair } from "./permits.ts";
import type { Route, RouteId } from "./route.ts";
import { holderOf, type RouteTable, routeOf, type TableEntry, tableEntries } from "./table.ts";

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

type Contest = { readonly pair: Pair; readonly claimants: Candidate[] };

export function decideClaims(input: ClaimsInput): Decided {
  const contests = contestsOf(input.candidates);
  const vanished = vanishedHolders(input, contests);
  const entries: TableEntry[] = [];
  const losses: Loss[] = [];
  const passed: Passed[] = [];
  const heldRoutes = new Map<RouteId, Route>();
  for (const [text, { pair, claimants }] of contests) {
    const best = winnerOf(pair, claimants, input);
    const gone = vanished.get(text);
    const outranks = gone !== undefined && isOwn(best, input) && !isOwnId(gone.id, input);
    const isHeld = gone !== undefined && !outranks && isHolding(gone, input.nowMs);
    const winner = isHeld ? gone.id : best.id;
    if (isHeld) heldRoutes.set(gone.id, gone);
    else if (gone !== undefined) passed.push({ pair, from: gone.id, to: best.id });
    entries.push({ ...pair, route: winner });
    for (const { id } of claimants) if (id !== winner) losses.push({ loser: id, pair, winner });
  }
  return { ...withRoom(entries, input), losses, heldRoutes, passed };
}

export function pairText({ key, senderKey }: Pair): string {
  return senderKey === undefined ? key : `${key}\n${senderKey}`;
}

function contestsOf(candidates: readonly Candidate[]): ReadonlyMap<string, Contest> {
  const contests = new Map<string, Contest>();
  for (const candidate of candidates) {
    for (const pair of candidate.pairs) {
      const text = pairText(pair);
      const contest = contests.get(text);
      if (contest === undefined) contests.set(text, { pair, claimants: [candidate] });
      else contest.claimants.push(candidate);
    }
  }
  return contests;
}

/** Contested pairs of the table before whose resource is gone, with the route as it would be held. */
function vanishedHolders(
  input: ClaimsInput,
  contests: ReadonlyMap<string, Contest>,
): ReadonlyMap<string, Route & { readonly heldUntilMs: number }> {
  const { present, previous, delegation, nowMs, conflictHoldMs } = input;
  const vanished = new Map<string, Route & { readonly heldUntilMs: number }>();
  const held = new Map<RouteId, Route & { readonly heldUntilMs: number }>();
  for (const { route: id, ...pair } of tableEntries(previous)) {
    if (present.has(id)) continue;
    const text = pairText(pair);
    const route = routeOf(previous, id);
    if (!contests.has(text) || route === undefined) continue;
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

/** There is always at least one claimant. */
function winnerOf(pair: Pair, claimants: readonly Candidate[], input: ClaimsInput): Candidate {
  if (claimants.length === 1) return claimants[0] as Candidate;
  const incumbent = holderOf(input.previous, pair.key, pair.senderKey);
  return claimants.reduce((best, other) =>
    precedence(other, best, incumbent, input) < 0 ? other : best,
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
