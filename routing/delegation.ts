/**
 * Who may claim what: a key belongs to the namespaces of the longest grant that covers it. Whoever holds
 * `corp.example` has no say under somebody else's `hr.corp.example`. The installation's own namespace
 * may claim anything; with no grant, no other namespace may claim.
 */

import { isService, parseIp } from "./domain.ts";
import type { Issue } from "./field-reader.ts";
import {
  type Grant,
  isNamed,
  type NamespaceLabels,
  parseMailGrant,
  type RawGrant,
  type UnreadableRights,
} from "./grants.ts";
import { keyDomain, type RecipientKey } from "./key.ts";
import { suffixesOf } from "./match.ts";
import { memoized } from "./memoized.ts";
import {
  alwaysDenied,
  isDeniedName,
  isInBlock,
  type NetworkSet,
  networkSet,
  parseBlock,
} from "./network.ts";
import { rightsByNamespace } from "./submitters.ts";
import type { Rights } from "./table.ts";

export type Installation = {
  readonly namespace: string;
  readonly className: string;
  /** "off": one team's cluster (and `mailroute dev`): every namespace may claim everything. */
  readonly delegation: "required" | "off";
  /** Networks beyond loopback and link-local that tenants' routes may not reach: API server, Services. */
  readonly deniedNetworks?: readonly string[];
};

export type GrantVerdict =
  /** `problems` where it has DKIM keys: those that cannot be used. */
  | { readonly kind: "accepted"; readonly problems?: readonly Issue[] }
  | { readonly kind: "other-class" }
  | { readonly kind: "invalid"; readonly issues: readonly Issue[] };

/** What the longest grant says about one key and namespace. */
export type Permission =
  | { readonly kind: "unlimited" }
  | { readonly kind: "granted"; readonly grants: readonly Grant[] }
  /** The covering grant does not parse: who holds the key keeps it. */
  | { readonly kind: "frozen"; readonly grant: string }
  | { readonly kind: "refused"; readonly reason: string };

export type Delegation = {
  /** The installation's own namespace, and every one where delegation is off. */
  readonly isUnlimited: (namespace: string) => boolean;
  readonly permission: (namespace: string, key: RecipientKey) => Permission;
  readonly verdicts: ReadonlyMap<string, GrantVerdict>;
  readonly denied: NetworkSet;
  /** What each namespace's workloads may when they authenticate, of those that a grant gives anything. */
  readonly submitters: ReadonlyMap<string, Rights>;
  /** The grants in force, in order of name. */
  readonly accepted: readonly Grant[];
  /** What grants that do not parse may give beside that. */
  readonly unreadable: readonly UnreadableRights[];
};

const parseGrantOnce = memoized(parseMailGrant);

type Cover = { readonly grants: Grant[]; frozen: string | undefined };

type DelegationInput = {
  readonly grants: readonly RawGrant[];
  readonly namespaces: NamespaceLabels;
  readonly installation: Installation;
};

type KnownDelegation = { readonly input: DelegationInput; readonly delegation: Delegation };
const knownDelegations = new WeakMap<Installation, KnownDelegation>();

/** The same as the last time for the installation while grants and namespaces are: much hangs on it. */
export function delegationOf(input: DelegationInput): Delegation {
  const known = knownDelegations.get(input.installation);
  if (known !== undefined && isSameInput(known.input, input)) return known.delegation;
  const delegation = newDelegation(input);
  knownDelegations.set(input.installation, { input, delegation });
  return delegation;
}

function isSameInput(a: DelegationInput, b: DelegationInput): boolean {
  return (
    a.grants.length === b.grants.length &&
    a.grants.every(({ name, resource }, at) => {
      const other = b.grants[at];
      return other?.name === name && other.resource === resource;
    }) &&
    isSameMap(a.namespaces, b.namespaces, (left, right) =>
      isSameMap(left, right, (x, y) => x === y),
    )
  );
}

function isSameMap<T>(
  a: ReadonlyMap<string, T>,
  b: ReadonlyMap<string, T>,
  isSame: (a: T, b: T) => boolean,
): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) {
    const other = b.get(name);
    if (other === undefined || !isSame(value, other)) return false;
  }
  return true;
}

function newDelegation(input: DelegationInput): Delegation {
  const { installation, namespaces } = input;
  const covers = new Map<string, Cover>();
  const verdicts = new Map<string, GrantVerdict>();
  const accepted: Grant[] = [];
  const unreadable: UnreadableRights[] = [];
  const cover = (suffix: string): Cover => {
    const known = covers.get(suffix) ?? { grants: [], frozen: undefined };
    covers.set(suffix, known);
    return known;
  };
  for (const { name, resource } of input.grants.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const parsed = parseGrantOnce(resource);
    const className = parsed.ok ? parsed.grant.className : parsed.className;
    if (className !== installation.className) {
      verdicts.set(name, { kind: "other-class" });
    } else if (parsed.ok) {
      verdicts.set(name, { kind: "accepted" });
      accepted.push(parsed.grant);
      for (const suffix of parsed.grant.suffixes) cover(suffix).grants.push(parsed.grant);
    } else {
      verdicts.set(name, { kind: "invalid", issues: parsed.issues });
      unreadable.push(parsed.rights);
      for (const suffix of parsed.suffixes) cover(suffix).frozen ??= name;
    }
  }
  const isAllowed = namedOnce(namespaces);
  const isUnlimited = (namespace: string) =>
    installation.delegation === "off" || namespace === installation.namespace;
  return {
    isUnlimited,
    verdicts,
    accepted,
    denied: networkSet([...alwaysDenied, ...(installation.deniedNetworks ?? [])]),
    permission: (namespace, key) =>
      isUnlimited(namespace)
        ? { kind: "unlimited" }
        : permissionUnder(longestCover(covers, key), (grant) => isAllowed(grant, namespace)),
    submitters: rightsByNamespace({
      grants: accepted,
      namespaces: new Set([installation.namespace, ...namespaces.keys()]),
      isAllowed,
      isUnlimited,
    }),
    unreadable,
  };
}

function namedOnce(labels: NamespaceLabels): (grant: Grant, namespace: string) => boolean {
  const known = new Map<Grant, Map<string, boolean>>();
  return (grant, namespace) => {
    const byNamespace = known.get(grant) ?? new Map<string, boolean>();
    known.set(grant, byNamespace);
    const answer = byNamespace.get(namespace) ?? isNamed(grant.spec.namespaces, namespace, labels);
    byNamespace.set(namespace, answer);
    return answer;
  };
}

function longestCover(covers: ReadonlyMap<string, Cover>, key: RecipientKey): Cover | undefined {
  const domain = keyDomain(key);
  if (domain.startsWith("[")) return covers.get(".");
  for (const suffix of domain === "." ? ["."] : suffixesOf(domain)) {
    const found = covers.get(suffix);
    if (found !== undefined) return found;
  }
  return undefined;
}

function permissionUnder(
  cover: Cover | undefined,
  isAllowed: (grant: Grant) => boolean,
): Permission {
  if (cover === undefined) {
    return { kind: "refused", reason: "no MailGrant gives it to this namespace: ask an admin" };
  }
  const grants = cover.grants.filter(isAllowed);
  if (grants.length > 0) return { kind: "granted", grants };
  if (cover.frozen !== undefined) return { kind: "frozen", grant: cover.frozen };
  return { kind: "refused", reason: "its MailGrant does not name this namespace: ask an admin" };
}

export type HostUse = { readonly host: string; readonly port: number };

/** Undefined: allowed. Otherwise why this grant does not let a route name the host. */
export function hostRefusal(
  grant: Grant,
  { host, port }: HostUse,
  denied: NetworkSet,
): string | undefined {
  const ip = parseIp(host);
  const rules = (grant.hosts ?? []).filter((rule) => isCovered(rule.host, host, ip));
  const byPort = rules.filter(({ ports }) => ports === undefined || ports.includes(port));
  const isNamedBlock = ip !== undefined && byPort.length > 0;
  const isInside = ip === undefined ? isDeniedName(host) : denied.has(ip);
  if (isInside && !isNamedBlock) {
    return `${host} is inside the cluster or this host: MailGrant ${grant.name} must name its address in targets.hosts`;
  }
  if (grant.hosts === undefined || byPort.length > 0) return undefined;
  const ports = isService(host) ? "every port, which SRV records need," : `port ${port}`;
  const what = rules.length > 0 ? `${ports} of ${host}` : host;
  return `MailGrant ${grant.name} does not allow ${what}: ask an admin to add it to targets.hosts`;
}

function isCovered(pattern: string, host: string, ip: string | undefined): boolean {
  if (ip !== undefined) {
    const block = parseBlock(pattern);
    return block !== undefined && isInBlock(ip, block);
  }
  if (pattern === "*") return true;
  return pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) : pattern === host;
}
