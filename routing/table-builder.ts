/**
 * Makes tables from entries: places each by its hash, and takes over from the table before every shard
 * whose content is the same, so that consecutive tables share memory and only new shards are written.
 */
import { hashOf } from "./hash.ts";
import { keyParts, type SenderKey } from "./key.ts";
import { isSameNames, Names } from "./names.ts";
import type { Route, RouteId } from "./route.ts";
import {
  type Entries,
  hasAddresses,
  type Rights,
  type RouteTable,
  type Shard,
  type TableEntry,
} from "./table.ts";

type Draft = {
  readonly names: Map<string, { domain: Entries | undefined; suffix: Entries | undefined }>;
  readonly addresses: Map<string, Entries>;
  readonly routes: Map<RouteId, Route>;
  readonly submitters: Map<string, Rights>;
  keys: number;
};

export type TableContent = {
  readonly entries: Iterable<TableEntry>;
  readonly routes: Iterable<Route>;
  readonly submitters?: Iterable<readonly [namespace: string, rights: Rights]>;
};

/** At most one entry per (key, sender key): the caller has decided. `shardCount` is a power of two. */
export function buildTable(
  content: TableContent,
  options: { readonly shardCount: number; readonly previous?: RouteTable | undefined },
): RouteTable {
  const drafts = Array.from({ length: options.shardCount }, newDraft);
  const at = (name: string) => drafts[hashOf(name) & (drafts.length - 1)] as Draft;
  for (const route of content.routes) at(route.id).routes.set(route.id, route);
  for (const [namespace, rights] of content.submitters ?? [])
    at(namespace).submitters.set(namespace, rights);
  for (const entry of content.entries) {
    const { kind, name } = keyParts(entry.key);
    const draft = at(name);
    draft.keys += 1;
    if (kind === "address") {
      draft.addresses.set(name, withEntry(draft.addresses.get(name), entry));
    } else {
      const node = draft.names.get(name) ?? { domain: undefined, suffix: undefined };
      node[kind] = withEntry(node[kind], entry);
      draft.names.set(name, node);
    }
  }
  const shards = shared(drafts.map(packed), options.previous);
  return { shards, hasAddresses: hasAddresses(shards), digest: "" };
}

function newDraft(): Draft {
  return {
    names: new Map(),
    addresses: new Map(),
    routes: new Map(),
    submitters: new Map(),
    keys: 0,
  };
}

function withEntry(entries: Entries | undefined, { senderKey, route }: TableEntry): Entries {
  if (entries === undefined && senderKey === undefined) return route;
  const known = typeof entries === "object" ? entries : undefined;
  const any = typeof entries === "string" ? entries : known?.any;
  if (senderKey === undefined) return { any: route, bySender: known?.bySender ?? new Map() };
  // Only this file made the map, and nobody has seen it yet.
  const bySender = (known?.bySender as Map<SenderKey, RouteId> | undefined) ?? new Map();
  bySender.set(senderKey, route);
  return known ?? { any, bySender };
}

function packed({ names, ...rest }: Draft): Shard {
  const rows = [...names].map(([name, node]) => ({ name, ...node }));
  rows.sort((a, b) => (a.name < b.name ? -1 : 1));
  return { names: new Names(rows), ...rest };
}

function shared(fresh: readonly Shard[], previous: RouteTable | undefined): readonly Shard[] {
  if (previous?.shards.length !== fresh.length) return fresh;
  const shards = fresh.map((shard, index): Shard => {
    const before = previous.shards[index];
    return before !== undefined && isSameShard(shard, before) ? before : shard;
  });
  return shards.every((shard, index) => shard === previous.shards[index])
    ? previous.shards
    : shards;
}

function isSameShard(a: Shard, b: Shard): boolean {
  return (
    a.keys === b.keys &&
    isSameNames(a.names, b.names, isSameEntries) &&
    isSameMap(a.addresses, b.addresses, isSameEntries) &&
    isSameMap(a.routes, b.routes, isSameValue) &&
    isSameMap(a.submitters, b.submitters, isSameValue)
  );
}

function isSameMap<K, V>(
  a: ReadonlyMap<K, V>,
  b: ReadonlyMap<K, V>,
  isSame: (a: V, b: V) => boolean,
): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) {
    const other = b.get(key);
    if (other === undefined || !isSame(value, other)) return false;
  }
  return true;
}

function isSameEntries(a: Entries | undefined, b: Entries | undefined): boolean {
  if (typeof a !== "object" || typeof b !== "object") return a === b;
  return a.any === b.any && isSameMap(a.bySender, b.bySender, (x, y) => x === y);
}

/** Plain data as routes are made of: no cycles, property order does not matter. */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const left = Object.entries(a);
  if (left.length !== Object.keys(b).length) return false;
  return left.every(([name, value]) => isSameValue(value, Reflect.get(b, name)));
}
