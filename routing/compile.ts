/**
 * All MailRoutes, MailGrants and references to one route table and a verdict for each resource. Total:
 * user data never throws, and one bad resource costs nobody else a route. Deterministic: the order of
 * resources and lists never matters, and compiling again with the result as `previous` changes nothing.
 */
import { type Candidate, candidatesOf, pairsByRoute, type RawRoute } from "./candidates.ts";
import { type Decided, decideClaims } from "./claims.ts";
import { delegationOf, type GrantVerdict, type Installation } from "./delegation.ts";
import type { NamespaceLabels, RawGrant } from "./grants.ts";
import type { RecipientKey, SenderKey } from "./key.ts";
import { conflictHoldMsDefault, limits } from "./limits.ts";
import { memoized } from "./memoized.ts";
import type { Secrets } from "./references.ts";
import type { Route, RouteId, Signer } from "./route.ts";
import { signersOf, withProblems } from "./signers.ts";
import { withDoubts } from "./submitters.ts";
import {
  emptyTable,
  type Rights,
  type RouteTable,
  type TableEntry,
  tableEntries,
} from "./table.ts";
import { buildTable } from "./table-builder.ts";
import { type Conflict, type RefusedKey, type Verdict, verdictOf } from "./verdict.ts";
import { digestOf, type Sha256, shardCountFor, tableBytesEstimate } from "./wire.ts";

export type References = {
  readonly secrets: Secrets;
  readonly namespaces: NamespaceLabels;
};

export type CompileInput = {
  /** Raw objects of any shape; the same object again is not parsed again, so never change one. */
  readonly routes: readonly RawRoute[];
  readonly grants: readonly RawGrant[];
  readonly references: References;
  /** The table in force; `emptyTable` at the very first start. */
  readonly previous: RouteTable | undefined;
  /** Epoch milliseconds. */
  readonly now: number;
  readonly installation: Installation;
  readonly conflictHoldMs?: number;
  /** Hex SHA-256; without it the table has no digest. */
  readonly sha256?: Sha256;
};

/** Worth a Kubernetes event on the route that it names. */
export type CompileEvent = {
  readonly type: "Warning";
  readonly reason: "KeyPassed";
  readonly route: RouteId;
  readonly message: string;
};

export type Compiled = {
  readonly table: RouteTable;
  readonly verdicts: ReadonlyMap<RouteId, Verdict>;
  readonly grantVerdicts: ReadonlyMap<string, GrantVerdict>;
  readonly events: readonly CompileEvent[];
  /** When a hold runs out: compile again then, even if nothing has changed. */
  readonly recheckAtMs?: number;
};

export function compile(input: CompileInput): Compiled {
  const { installation, references, now } = input;
  const previous = input.previous ?? emptyTable;
  const delegation = delegationOf({
    grants: input.grants,
    namespaces: references.namespaces,
    installation,
  });
  const { list, otherClass } = candidatesOf({
    routes: input.routes,
    delegation,
    secrets: references.secrets,
    previous,
    previousPairs: once(() => pairsByRoute(tableEntries(previous))),
    installation,
  });
  const decided = decideClaims({
    candidates: list,
    present: new Set(list.map(({ id }) => id)),
    previous,
    delegation,
    installation,
    nowMs: now,
    conflictHoldMs: input.conflictHoldMs ?? conflictHoldMsDefault,
  });
  const submitters = withDoubts(delegation, { namespaces: references.namespaces, previous });
  const signing = signersOf(delegation, { installation, previous, secrets: references.secrets });
  const { signers } = signing;
  const table = tableOf({ decided, candidates: list, submitters, signers, previous });
  const recheckAtMs = earliestHold(decided);
  return {
    table: input.sha256 ? { ...table, digest: digestOf(table, input.sha256) } : table,
    verdicts: verdictsOf(list, otherClass, decided),
    grantVerdicts: withProblems(delegation.verdicts, signing.problems),
    events: decided.passed.map(({ pair, from, to }) => ({
      type: "Warning",
      reason: "KeyPassed",
      route: to,
      message: `${pair.key} passed from ${from}, which is gone, to ${to}`,
    })),
    ...(recheckAtMs !== undefined && { recheckAtMs }),
  };
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function tableOf({
  decided,
  candidates,
  submitters,
  signers,
  previous,
}: {
  readonly decided: Decided;
  readonly candidates: readonly Candidate[];
  readonly submitters: ReadonlyMap<string, Rights>;
  readonly signers: ReadonlyMap<string, Signer>;
  readonly previous: RouteTable;
}): RouteTable {
  const holders = holdersOf(decided.entries);
  const routes: Route[] = [...decided.heldRoutes.values()];
  for (const { id, definition } of candidates)
    if (holders.has(id)) routes.push(bounded(definition));
  const bytes = tableBytesEstimate(decided.entries, routes);
  const shardCount = shardCountFor(bytes, previous.shards.length);
  const content = { entries: decided.entries, routes, submitters, signers: signers.values() };
  return buildTable(content, { shardCount, previous });
}

/** Entries of one route mostly follow each other. */
function holdersOf(entries: readonly TableEntry[]): ReadonlySet<RouteId> {
  const holders = new Set<RouteId>();
  let last: RouteId | undefined;
  for (const { route } of entries) {
    if (route === last) continue;
    last = route;
    holders.add(route);
  }
  return holders;
}

/** The whole text is in the verdict. */
function bounded(definition: Route): Route {
  const { unavailable } = definition;
  if (unavailable === undefined || unavailable.length <= limits.unavailableCharsMax) {
    return definition;
  }
  return { ...definition, unavailable: unavailable.slice(0, limits.unavailableCharsMax) };
}

function earliestHold({ heldRoutes }: Decided): number | undefined {
  const times = [...heldRoutes.values()].map(({ heldUntilMs = 0 }) => heldUntilMs);
  return times.length === 0 ? undefined : times.reduce((a, b) => Math.min(a, b));
}

type Tally = { held: number; readonly conflicts: Conflict[]; readonly crowdedOut: RefusedKey[] };

function verdictsOf(
  candidates: readonly Candidate[],
  otherClass: readonly RouteId[],
  decided: Decided,
): ReadonlyMap<RouteId, Verdict> {
  const tallies = talliesOf(decided);
  const verdicts = new Map<RouteId, Verdict>();
  for (const id of otherClass) verdicts.set(id, { kind: "other-class" });
  for (const one of candidates) {
    const tally = tallies.get(one.id) ?? newTally();
    const isWhole =
      tally.held === one.claimed && tally.conflicts.length === 0 && tally.crowdedOut.length === 0;
    verdicts.set(one.id, isWhole ? wholeVerdict(one) : verdictFor(one, tally));
  }
  return verdicts;
}

function verdictFor(one: Candidate, { held, conflicts, crowdedOut }: Tally): Verdict {
  return verdictOf({
    claimed: one.claimed,
    held,
    issues: one.issues,
    conflicts: conflicts.sort(byKey),
    refusedKeys: [...one.refusedKeys, ...crowdedOut].sort(byKey),
    resolved: one.resolved,
    unavailable: one.definition.unavailable,
  });
}

/** Of a candidate that holds all it claims: the same verdict as long as it is the same candidate. */
const wholeVerdict = memoized(
  (one: Candidate): Verdict =>
    verdictFor(one, { held: one.claimed, conflicts: [], crowdedOut: [] }),
);

function newTally(): Tally {
  return { held: 0, conflicts: [], crowdedOut: [] };
}

function talliesOf(decided: Decided): ReadonlyMap<RouteId, Tally> {
  const tallies = new Map<RouteId, Tally>();
  const tally = (id: RouteId): Tally => {
    const known = tallies.get(id);
    if (known !== undefined) return known;
    const fresh = newTally();
    tallies.set(id, fresh);
    return fresh;
  };
  for (const { route } of decided.entries) tally(route).held += 1;
  for (const { loser, pair, winner } of decided.losses) {
    const { key, senderKey } = pair;
    const conflict = senderKey === undefined ? { key, winner } : { key, senderKey, winner };
    tally(loser).conflicts.push(conflict);
  }
  for (const { key, route } of decided.crowdedOut) {
    const message = "too many sender entries under this key";
    tally(route).crowdedOut.push({ key, reason: "LimitExceeded", message });
  }
  return tallies;
}

type Keyed = { readonly key: RecipientKey; readonly senderKey?: SenderKey };

function byKey(a: Keyed, b: Keyed): number {
  if (a.key !== b.key) return a.key < b.key ? -1 : 1;
  return (a.senderKey ?? "") < (b.senderKey ?? "") ? -1 : 1;
}
