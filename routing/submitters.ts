/**
 * What the workloads of each namespace may, by the MailGrants: pure. A grant that does not parse takes nothing
 * from whoever it can still be seen to name, and gives nothing new: what it may give is deferred, never refused.
 */
import { type Grant, isNamed, type NamespaceLabels, type UnreadableRights } from "./grants.ts";
import { everyDomain, suffixKey } from "./key.ts";
import { type Rights, type RouteTable, rightsOf } from "./table.ts";

/** Under the suffix "." is everybody: whoever may claim anything may send as anybody. */
const everyRight: Rights = { senders: [suffixKey(everyDomain)] };

export function rightsByNamespace(input: {
  readonly grants: readonly Grant[];
  readonly namespaces: Iterable<string>;
  readonly isAllowed: (grant: Grant, namespace: string) => boolean;
  readonly isUnlimited: (namespace: string) => boolean;
}): ReadonlyMap<string, Rights> {
  const giving = input.grants.filter(({ senderKeys }) => senderKeys.length > 0);
  const rights = new Map<string, Rights>();
  /** By the grants: thousands of namespaces share a few. */
  const known = new Map<string, Rights>();
  for (const namespace of input.namespaces) {
    if (input.isUnlimited(namespace)) {
      rights.set(namespace, everyRight);
      continue;
    }
    const allowed = giving.filter((grant) => input.isAllowed(grant, namespace));
    if (allowed.length === 0) continue;
    const names = allowed.map(({ name }) => name).join(" ");
    const found = known.get(names) ?? rightsUnder(allowed);
    known.set(names, found);
    rights.set(namespace, found);
  }
  return rights;
}

function rightsUnder(grants: readonly Grant[]): Rights {
  const keys = new Set(grants.flatMap(({ senderKeys }) => senderKeys));
  // Of several limits the largest: a grant that sets none takes none away.
  const limits = grants.flatMap(({ spec }) => spec.limits.messagesPerHour ?? []);
  const messagesPerHour = limits.length === 0 ? {} : { messagesPerHour: Math.max(...limits) };
  return { senders: [...keys].sort(), ...messagesPerHour };
}

type Doubtful = {
  readonly submitters: ReadonlyMap<string, Rights>;
  readonly unreadable: readonly UnreadableRights[];
  readonly isUnlimited: (namespace: string) => boolean;
};

type Standing = { readonly namespaces: NamespaceLabels; readonly previous: RouteTable };

/**
 * The rights, with what grants that do not parse make of them. A sender is kept that the table before gave and that
 * such a grant, as far as it can be read, gives this namespace still; all else that it may give is in doubt.
 */
export function withDoubts(
  { submitters, unreadable, isUnlimited }: Doubtful,
  { namespaces, previous }: Standing,
): ReadonlyMap<string, Rights> {
  const doubtful = unreadable.filter(({ senderKeys }) => senderKeys?.length !== 0);
  if (doubtful.length === 0) return submitters;
  const rights = new Map(submitters);
  for (const namespace of namespaces.keys()) {
    if (isUnlimited(namespace)) continue;
    const about = doubtful.filter(
      ({ namespaces: named }) => named === undefined || isNamed(named, namespace, namespaces),
    );
    if (about.length === 0) continue;
    const given = rights.get(namespace) ?? { senders: [] };
    rights.set(namespace, inDoubt(given, rightsOf(previous, namespace), about));
  }
  return rights;
}

function inDoubt(given: Rights, before: Rights, about: readonly UnreadableRights[]): Rights {
  const still = new Set(
    about.flatMap(({ namespaces, senderKeys = [] }) =>
      namespaces === undefined ? [] : senderKeys,
    ),
  );
  const kept = before.senders.filter((key) => still.has(key) && !given.senders.includes(key));
  if (kept.length === 0) return { ...given, inDoubt: true };
  // Of the limits known the smallest: the grant's own cannot be told from others' any more.
  const limits = [given.messagesPerHour, before.messagesPerHour].flatMap((limit) => limit ?? []);
  const limit = limits.length > 0 && { messagesPerHour: Math.min(...limits) };
  return { senders: [...given.senders, ...kept].sort(), ...limit, inDoubt: true };
}
