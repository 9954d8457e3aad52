/**
 * From raw resources to candidates: what each MailRoute would put into the table if nobody else claimed
 * the same. Bad resources become candidates too: with their last good state where the table before has
 * one, else with the keys that can still be read, unavailable. A granted key never falls through.
 */
import type { Delegation, Installation } from "./delegation.ts";
import { type Issue, salvageKeys } from "./field-reader.ts";
import { property } from "./grants.ts";
import { limits } from "./limits.ts";
import { memoized } from "./memoized.ts";
import { type ParsedRoute, parseMailRoute } from "./parse-route.ts";
import {
  type Pair,
  type PermitInput,
  type Permitted,
  permittedPairs,
  targetRefusal,
  withinLimits,
  withReach,
} from "./permits.ts";
import { credentialRefusal, type Secrets, withSecrets } from "./references.ts";
import { type Route, type RouteId, retryDefaults } from "./route.ts";
import { routeOf, type TableEntry } from "./table.ts";
import { tokenHostOf } from "./token-host.ts";
import { type Condition, issueText, type RefusedKey, resolvedRefs } from "./verdict.ts";

export type RawRoute = { readonly id: RouteId; readonly resource: unknown };

export type Candidate = {
  readonly id: RouteId;
  readonly namespace: string;
  readonly createdAt: string;
  readonly definition: Route;
  /** Permitted pairs only. */
  readonly pairs: readonly Pair[];
  /** A grant's `limits` may take some of them away. */
  readonly isLimited: boolean;
  readonly claimed: number;
  readonly issues: readonly Issue[];
  readonly refusedKeys: readonly RefusedKey[];
  readonly resolved: Condition;
};

export type Candidates = {
  readonly list: readonly Candidate[];
  readonly otherClass: readonly RouteId[];
};

export type CandidateInput = PermitInput & {
  readonly routes: readonly RawRoute[];
  readonly secrets: Secrets;
  /** Entries of the table before by route; only bad resources need them. */
  readonly previousPairs: () => ReadonlyMap<RouteId, readonly Pair[]>;
  readonly installation: Installation;
};

const parseRouteOnce = memoized(parseMailRoute);

/** In the order in which limits of a grant are filled: oldest first. */
export function candidatesOf(input: CandidateInput): Candidates {
  const otherClass: RouteId[] = [];
  const list: Candidate[] = [];
  for (const claim of claimsOf(input).sort(byAge)) {
    if (claim.className !== input.installation.className) otherClass.push(claim.id);
    else list.push(candidate(claim, input));
  }
  return { list: withinLimits(list, input.delegation), otherClass };
}

/** A resource read: good (`parsed`), or bad with whatever keys it still has. */
type Claim = {
  readonly id: RouteId;
  readonly namespace: string;
  readonly className: unknown;
  readonly createdAt: string;
  readonly parsed: ParsedRoute | undefined;
  readonly issues: readonly Issue[];
  readonly resources: readonly unknown[];
};

function claimsOf({ routes, installation }: CandidateInput): Claim[] {
  const byId = new Map<RouteId, unknown[]>();
  for (const { id, resource } of routes) {
    const known = byId.get(id);
    if (known === undefined) byId.set(id, [resource]);
    else known.push(resource);
  }
  return [...byId].map(([id, resources]) =>
    resources.length === 1
      ? claimOf(id, resources[0])
      : copiesClaim(id, resources, installation.className),
  );
}

function claimOf(id: RouteId, resource: unknown): Claim {
  const namespace = namespaceOf(id);
  const parsed = parseRouteOnce(resource);
  const issues = parsed.ok ? identityIssues(id, parsed.route) : parsed.issues;
  if (parsed.ok && issues.length === 0) {
    const { className, createdAt } = parsed.route;
    return { id, namespace, className, createdAt, parsed: parsed.route, issues, resources: [] };
  }
  const createdAt = property(property(resource, "metadata"), "creationTimestamp");
  return {
    id,
    namespace,
    className: classOf(resource),
    createdAt: typeof createdAt === "string" ? createdAt : "",
    parsed: undefined,
    issues,
    resources: [resource],
  };
}

function namespaceOf(id: RouteId): string {
  return id.slice(0, Math.max(0, id.indexOf("/")));
}

function classOf(resource: unknown): unknown {
  return property(property(resource, "spec"), "className") ?? "default";
}

/** Several resources of one name (files only): none of them is believed. */
function copiesClaim(id: RouteId, resources: readonly unknown[], ours: string): Claim {
  const own = resources.filter((resource) => classOf(resource) === ours);
  const message = `${id} is defined ${resources.length} times: give each MailRoute a name of its own`;
  return {
    id,
    namespace: namespaceOf(id),
    className: own.length > 0 ? ours : undefined,
    createdAt: "",
    parsed: undefined,
    issues: [{ path: "metadata.name", message }],
    resources: own,
  };
}

function identityIssues(id: RouteId, route: ParsedRoute): readonly Issue[] {
  return route.id === id
    ? []
    : [{ path: "metadata", message: `is ${route.id}, but it was read as ${id}` }];
}

/** Older first; unknown ages last; then by name, so that no order of input matters. */
export function byAge(
  a: { readonly createdAt: string; readonly id: RouteId },
  b: { readonly createdAt: string; readonly id: RouteId },
): number {
  if (a.createdAt !== b.createdAt) {
    if (a.createdAt === "") return 1;
    if (b.createdAt === "") return -1;
    return a.createdAt < b.createdAt ? -1 : 1;
  }
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** Of good routes without Secrets, under one delegation: nothing else decides about them. */
const knownCandidates = new WeakMap<Delegation, WeakMap<ParsedRoute, Candidate>>();

function candidate(claim: Claim, input: CandidateInput): Candidate {
  const { parsed } = claim;
  if (parsed === undefined) return badCandidate(claim, input);
  let known = knownCandidates.get(input.delegation);
  if (known === undefined) {
    known = new WeakMap();
    knownCandidates.set(input.delegation, known);
  }
  const before = known.get(parsed);
  if (before !== undefined) return before;
  const permitted = permittedPairs(claim, pairsOf(parsed), input);
  const fresh = goodCandidate({ ...claim, parsed }, permitted, input);
  if (parsed.secrets.length === 0 && !permitted.isFrozen) known.set(parsed, fresh);
  return fresh;
}

function goodCandidate(
  claim: Claim & { readonly parsed: ParsedRoute },
  permitted: Permitted,
  input: CandidateInput,
): Candidate {
  const { parsed } = claim;
  const common = { ...identity(claim), ...countsOf(permitted), issues: [] };
  const before = routeOf(input.previous, claim.id);
  if (permitted.frozenBy !== undefined && before !== undefined) {
    const message = `MailGrant ${permitted.frozenBy} is invalid: the route stays as it was; ask an admin`;
    const frozen = recheck(before, permitted, input);
    return { ...common, definition: frozen, resolved: resolvedRefs("Pending", message) };
  }
  const secrets = withSecrets(parsed, input.secrets);
  const base = secrets.ok ? secrets.definition : parsed.definition;
  const definition = withReach(base, permitted, input.delegation);
  const refusal = targetRefusal(parsed, permitted.grants, input.delegation);
  if (refusal !== undefined) {
    const resolved = resolvedRefs("HostNotPermitted", refusal);
    return { ...common, definition: forbidden(definition, refusal), resolved };
  }
  if (!secrets.ok) {
    const unavailable = issueText(secrets.issue);
    const resolved = resolvedRefs(secrets.reason, unavailable);
    return { ...common, definition: { ...definition, unavailable }, resolved };
  }
  const resolved = resolvedRefs("ResolvedRefs", "hosts and Secrets are usable");
  return { ...common, definition, resolved };
}

function identity({ id, namespace, createdAt }: Claim) {
  return { id, namespace, createdAt };
}

function countsOf({ pairs, isLimited, claimed, refusedKeys }: Permitted) {
  return { pairs, isLimited, claimed, refusedKeys };
}

/** What the tenant wrote is not permitted as a whole, so no part of it is done. */
function forbidden(definition: Route, unavailable: string): Route {
  return { ...definition, access: "Trusted", unavailable };
}

function badCandidate(claim: Claim, input: CandidateInput): Candidate {
  const before = routeOf(input.previous, claim.id);
  const kept = before !== undefined && before.unavailable === undefined;
  const wanted = kept
    ? (input.previousPairs().get(claim.id) ?? [])
    : salvagedPairs(claim.resources);
  const permitted = permittedPairs(claim, wanted, input);
  const [issue] = claim.issues;
  return {
    ...identity(claim),
    ...countsOf(permitted),
    definition: kept
      ? recheck(before, permitted, input)
      : unusable(claim.id, issue === undefined ? "the MailRoute is invalid" : issueText(issue)),
    issues: claim.issues,
    resolved: resolvedRefs("Pending", "mend the MailRoute first"),
  };
}

/** The state before, as far as today's grants and Secrets still allow it. */
function recheck(before: Route, permitted: Permitted, input: CandidateInput): Route {
  const { heldUntilMs: _, ...definition } = before;
  const { target, auth } = definition;
  const hosts = target.kind === "hosts" ? target.hosts : [];
  const uses = hosts.map(({ host, port }) => ({ field: "spec.target.hosts", host, port }));
  const tokenHost = auth?.kind === "oauth2" ? tokenHostOf(auth.tokenURL) : undefined;
  if (tokenHost !== undefined) uses.push({ field: "spec.auth.oauth2.tokenURL", ...tokenHost });
  const asksAnyone = definition.access === "Anyone" && definition.target.kind !== "reject";
  const refusal =
    targetRefusal({ hosts: uses, asksAnyone }, permitted.grants, input.delegation) ??
    credentialRefusal(definition, input.secrets);
  const reached =
    permitted.frozenBy === undefined
      ? withReach(definition, permitted, input.delegation)
      : definition;
  return refusal === undefined ? reached : forbidden(reached, refusal);
}

function unusable(id: RouteId, unavailable: string): Route {
  return {
    id,
    generation: 0,
    access: "Trusted",
    target: { kind: "hosts", hosts: [] },
    protocol: "SMTP",
    tls: { mode: "Required" },
    delivery: {},
    retry: retryDefaults,
    unavailable,
  };
}

function pairsOf({ keys, senderKeys }: Pick<ParsedRoute, "keys" | "senderKeys">): readonly Pair[] {
  if (senderKeys === undefined) return keys.map((key) => ({ key, senderKey: undefined }));
  return keys.flatMap((key) => senderKeys.map((senderKey) => ({ key, senderKey })));
}

/** Of a bad resource: senders that cannot be read claim nothing, rather than everybody's mail. */
function salvagedPairs(resources: readonly unknown[]): readonly Pair[] {
  const pairs = new Map<string, Pair>();
  for (const resource of resources) {
    const spec = property(resource, "spec");
    const senders = property(spec, "senders");
    const senderKeys = senders === undefined ? undefined : salvageKeys(senders);
    const keys = salvageKeys(spec);
    if (keys.length * (senderKeys?.length ?? 1) > limits.pairsPerRouteMax) continue;
    for (const pair of pairsOf({ keys, senderKeys })) {
      pairs.set(`${pair.key}\n${pair.senderKey ?? ""}`, pair);
    }
  }
  return [...pairs.values()];
}

export function pairsByRoute(entries: Iterable<TableEntry>): ReadonlyMap<RouteId, readonly Pair[]> {
  const byRoute = new Map<RouteId, Pair[]>();
  for (const { key, senderKey, route } of entries) {
    const known = byRoute.get(route);
    if (known === undefined) byRoute.set(route, [{ key, senderKey }]);
    else known.push({ key, senderKey });
  }
  return byRoute;
}
