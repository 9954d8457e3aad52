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
import {
  holderOf,
  type RouteTable,
  routeOf,
  routesOf,
  type TableEntry,
  tableEntries,
} from "./table.ts";
import { entriesOf, pairText, wishesOf } from "./wishes.ts";

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
  const { isAsked, contested } = wishesOf(input.candidates, input.installation);
  const vanished = vanishedHolders(input, isAsked);
  const entries: TableEntry[] = [];
  const disputed = new Map<string, TableEntry>();
  const isQuiet = contested.size === 0 && vanished.size === 0;
  for (const candidate of input.candidates) {
    for (const entry of entriesOf(candidate)) {
      const text = isQuiet ? "" : pairText(entry);
      if (isQuiet || (!contested.has(text) && !vanished.has(text))) entries.push(entry);
      else if (!disputed.has(text)) disputed.set(text, entry);
    }
  }
  const settled = [...disputed].map(([text, { key, senderKey, route }]) =>
    settle(input, {
      pair: { key, senderKey },
      first: route,
      claimants: contested.get(text) ?? [],
      gone: vanished.get(text),
    }),
  );
  for (const { pair, winner } of settled) entries.push({ ...pair, route: winner });
  return {
    ...withRoom(entries, input),
    losses: settled.flatMap(({ pair, winner, losers }) =>
      losers.map((loser) => ({ loser, pair, winner })),
    ),
    heldRoutes: new Map(settled.flatMap(({ held }) => (held ? [[held.id, held]] : []))),
    passed: settled.flatMap(({ passed }) => passed ?? []),
  };
}

type Dispute = {
  readonly pair: Pair;
  /** Who asks, where nobody else does. */
  readonly first: RouteId;
  /** All who ask, where they are several. */
  readonly claimants: readonly Candidate[];
  /** Who held it and is no more. */
  readonly gone: HeldRoute | undefined;
};

type Settled = {
  readonly pair: Pair;
  readonly winner: RouteId;
  readonly losers: readonly RouteId[];
  readonly held?: HeldRoute;
  readonly passed?: Passed;
};

type HeldRoute = Route & { readonly heldUntilMs: number };

function settle(input: ClaimsInput, { pair, first, claimants, gone }: Dispute): Settled {
  const best = winnerOf(pair, claimants, input)?.id ?? first;
  const askers = claimants.length === 0 ? [first] : claimants.map(({ id }) => id);
  const outranks = gone !== undefined && isOwnId(best, input) && !isOwnId(gone.id, input);
  const isHeld = gone !== undefined && !outranks && input.nowMs < gone.heldUntilMs;
  const winner = isHeld ? gone.id : best;
  return {
    pair,
    winner,
    losers: askers.filter((id) => id !== winner),
    ...(isHeld && { held: gone }),
    ...(gone !== undefined && !isHeld && { passed: { pair, from: gone.id, to: best } }),
  };
}

/** Contested pairs of the table before whose resource is gone, with the route as it would be held. */
function vanishedHolders(
  input: ClaimsInput,
  isAsked: (text: string) => boolean,
): ReadonlyMap<string, HeldRoute> {
  const { present, previous, delegation, nowMs, conflictHoldMs } = input;
  const vanished = new Map<string, HeldRoute>();
  if (isEachPresent(previous, present)) return vanished;
  const held = new Map<RouteId, HeldRoute>();
  for (const { route: id, ...pair } of tableEntries(previous)) {
    if (present.has(id)) continue;
    const text = pairText(pair);
    const route = routeOf(previous, id);
    if (!isAsked(text) || route === undefined) continue;
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
