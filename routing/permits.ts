/**
 * Applies delegation to one claimant: which of its pairs it may hold, whether its hosts and its access
 * are allowed for all of them, which inner networks it may reach, and how much of it a grant allows.
 */
import { type Delegation, hostRefusal, type Permission } from "./delegation.ts";
import { type Grant, reachOf } from "./grants.ts";
import type { RecipientKey, SenderKey } from "./key.ts";
import type { ParsedRoute } from "./parse-route.ts";
import type { Route, RouteId } from "./route.ts";
import { holderOf, type RouteTable } from "./table.ts";
import type { RefusedKey } from "./verdict.ts";

export type Pair = { readonly key: RecipientKey; readonly senderKey: SenderKey | undefined };

export type PermitInput = { readonly delegation: Delegation; readonly previous: RouteTable };

type Claimant = { readonly id: RouteId; readonly namespace: string };

type Claims = Claimant & {
  readonly pairs: readonly Pair[];
  readonly isLimited: boolean;
  readonly refusedKeys: readonly RefusedKey[];
};

export type Permitted = {
  readonly namespace: string;
  readonly pairs: readonly Pair[];
  readonly grants: readonly (readonly Grant[])[];
  readonly refusedKeys: readonly RefusedKey[];
  readonly claimed: number;
  /** One of the grants has limits. */
  readonly isLimited: boolean;
  /** A grant that does not parse covers one of the keys wanted: the table before decides about it. */
  readonly isFrozen: boolean;
  /** A grant that does not parse covers one of the keys: the route must not change meanwhile. */
  readonly frozenBy: string | undefined;
};

export function permittedPairs(
  claim: Claimant,
  wanted: readonly Pair[],
  input: PermitInput,
): Permitted {
  const { delegation, previous } = input;
  const answers = new Map<RecipientKey, Permission>();
  const grants = new Map<string, readonly Grant[]>();
  const refused = new Map<RecipientKey, RefusedKey>();
  let isFrozen = false;
  let frozenBy: string | undefined;
  const pairs = wanted.filter(({ key, senderKey }) => {
    const answer = answers.get(key) ?? delegation.permission(claim.namespace, key);
    answers.set(key, answer);
    if (answer.kind === "granted") {
      grants.set(answer.grants.map(({ name }) => name).join(" "), answer.grants);
    }
    if (answer.kind === "frozen") isFrozen = true;
    const isKept = answer.kind === "frozen" && holderOf(previous, key, senderKey) === claim.id;
    if (isKept) frozenBy = answer.grant;
    if (answer.kind === "unlimited" || answer.kind === "granted" || isKept) return true;
    const message =
      answer.kind === "refused"
        ? answer.reason
        : `MailGrant ${answer.grant} is invalid: ask an admin`;
    refused.set(key, { key, reason: "NotPermitted", message });
    return false;
  });
  const refusedKeys = [...refused.values()];
  return {
    namespace: claim.namespace,
    pairs,
    grants: [...grants.values()],
    refusedKeys,
    claimed: wanted.length,
    isLimited: [...grants.values()].some(([grant]) => hasLimits(grant)),
    isFrozen,
    frozenBy,
  };
}

/** For every key, one of the grants that give it must allow all of the route's hosts and its access. */
export function targetRefusal(
  parsed: Pick<ParsedRoute, "hosts" | "asksAnyone">,
  grants: readonly (readonly Grant[])[],
  { denied }: Delegation,
): string | undefined {
  for (const alternatives of grants) {
    const refusals = alternatives.map((grant) => {
      if (parsed.asksAnyone && !grant.spec.allowAnyone) {
        return `spec.access: MailGrant ${grant.name} does not allow Anyone: use Trusted or ask an admin`;
      }
      for (const use of parsed.hosts) {
        const refusal = hostRefusal(grant, use, denied);
        if (refusal !== undefined) return `${use.field}: ${refusal}`;
      }
      return undefined;
    });
    if (!refusals.includes(undefined)) return refusals[0];
  }
  return undefined;
}

/**
 * Blocks that every key's grants name; the installation's own routes reach anywhere. The mail store needs none,
 * but the host of a token URL does.
 */
export function withReach(
  definition: Route,
  { namespace, grants }: Permitted,
  delegation: Delegation,
): Route {
  const { reach: _, ...rest } = definition;
  const { target, auth } = rest;
  if (target.kind !== "hosts" && target.kind !== "mx" && auth?.kind !== "oauth2") return rest;
  if (delegation.isUnlimited(namespace)) return { ...rest, reach: "anywhere" };
  const sets = grants.map((alternatives) => new Set(alternatives.flatMap(reachOf)));
  const common = [...(sets[0] ?? [])].filter((block) => sets.every((set) => set.has(block)));
  return common.length === 0 ? rest : { ...rest, reach: common.sort() };
}

function byText(a: Pair, b: Pair): number {
  if (a.key !== b.key) return a.key < b.key ? -1 : 1;
  return (a.senderKey ?? "") < (b.senderKey ?? "") ? -1 : 1;
}

function hasLimits(grant: Grant | undefined): boolean {
  return grant?.spec.limits.routes !== undefined || grant?.spec.limits.keys !== undefined;
}

/**
 * `limits` of the grants, per namespace: what is beyond them is refused, the youngest routes first, and of one
 * route the keys that come last in order of text.
 */
export function withinLimits<T extends Claims>(
  list: readonly T[],
  delegation: Delegation,
): readonly T[] {
  const used = new Map<string, { routes: number; keys: number }>();
  return list.map((one) => {
    if (!one.isLimited) return one;
    const overdrawn = new Map<RecipientKey, RefusedKey>();
    const seen = new Set<string>();
    const pairs = one.pairs.toSorted(byText).filter(({ key }) => {
      const answer = delegation.permission(one.namespace, key);
      if (answer.kind !== "granted") return true;
      const [grant] = answer.grants;
      if (grant === undefined) return true;
      const { routes, keys } = grant.spec.limits;
      if (routes === undefined && keys === undefined) return true;
      const account = `${grant.name}\n${one.namespace}`;
      const sum = used.get(account) ?? { routes: 0, keys: 0 };
      used.set(account, sum);
      const next = { routes: sum.routes + (seen.has(account) ? 0 : 1), keys: sum.keys + 1 };
      if (
        next.routes > (routes ?? Number.POSITIVE_INFINITY) ||
        next.keys > (keys ?? Number.POSITIVE_INFINITY)
      ) {
        const message = `MailGrant ${grant.name} allows ${routes ?? "any number of"} routes and ${keys ?? "any number of"} keys`;
        overdrawn.set(key, { key, reason: "LimitExceeded", message });
        return false;
      }
      seen.add(account);
      used.set(account, next);
      return true;
    });
    if (overdrawn.size === 0) return one;
    return { ...one, pairs, refusedKeys: [...one.refusedKeys, ...overdrawn.values()] };
  });
}
