/**
 * Makes tables from entries: places each by its hash, and takes over from the table before every shard
 * whose content is the same, so that consecutive tables share memory and only new shards are written.
 */
import { hashOf } from "./hash.ts";
import { keyParts, type SenderKey } from "./key.ts";
import { Names } from "./names.ts";
import type { Route, RouteId, Signer } from "./route.ts";
import { sameEnds } from "./same-ends.ts";
import {
  contentsOf,
  type Entries,
  holderOf,
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
  readonly signers: Map<string, Signer>;
  keys: number;
};

/** Whom a namespace's workloads may send as, keys in order. */
type Submitter = readonly [namespace: string, rights: Rights];

export type TableContent = {
  readonly entries: Iterable<TableEntry>;
  readonly routes: Iterable<Route>;
  readonly submitters?: Iterable<Submitter>;
  readonly signers?: Iterable<Signer>;
};

/** At most one entry per (key, sender key): the caller has decided. `shardCount` is a power of two. */
export function buildTable(
  content: TableContent,
  options: { readonly shardCount: number; readonly previous?: RouteTable | undefined },
): RouteTable {
  const { shardCount } = options;
  const previous = options.previous?.shards.length === shardCount ? options.previous : undefined;
  const before = previous && knownContents.get(previous.shards);
  const placed: Placed = {
    entries: placedItems([...content.entries], before?.entries, placeOfEntry(shardCount)),
    routes: placedItems([...content.routes], before?.routes, placeOfRoute(shardCount)),
    submitters: placedItems(
      [...(content.submitters ?? [])],
      undefined,
      placeOfSubmitter(shardCount),
    ),
    signers: placedItems([...(content.signers ?? [])], undefined, placeOfSigner(shardCount)),
  };
  const kept = previous === undefined ? [] : keptShards(placed, previous, before);
  const drafts = Array.from({ length: shardCount }, (_, index) =>
    kept[index] === undefined ? newDraft() : undefined,
  );
  each(placed.routes, (route, place) => drafts[place]?.routes.set(route.id, route));
  each(placed.submitters, ([namespace, rights], place) =>
    drafts[place]?.submitters.set(namespace, rights),
  );
  each(placed.signers, (signer, place) => drafts[place]?.signers.set(signer.domain, signer));
  each(placed.entries, (entry, place) => {
    const draft = drafts[place];
    if (draft !== undefined) addEntry(draft, entry);
  });
  const shards = drafts.map((draft, index) =>
    draft === undefined ? (kept[index] as Shard) : packed(draft),
  );
  const isSame = previous?.shards.every((shard, index) => shard === shards[index]) === true;
  const list = isSame ? previous.shards : shards;
  knownContents.set(list, placed);
  return { shards: list, ...contentsOf(list), digest: "" };
}

/** Items, and for each the number of the shard in which it belongs. */
type PlacedItems<T> = { readonly items: readonly T[]; readonly places: Uint16Array };
type Placed = {
  readonly entries: PlacedItems<TableEntry>;
  readonly routes: PlacedItems<Route>;
  readonly submitters: PlacedItems<Submitter>;
  readonly signers: PlacedItems<Signer>;
};

/** What a table was made from: the next one is mostly made from the same objects. */
const knownContents = new WeakMap<readonly Shard[], Placed>();

function placeOfEntry(shardCount: number): (entry: TableEntry) => number {
  return ({ key }) => hashOf(keyParts(key).name) & (shardCount - 1);
}

function placeOfRoute(shardCount: number): (route: Route) => number {
  return ({ id }) => hashOf(id) & (shardCount - 1);
}

function placeOfSubmitter(shardCount: number): (submitter: Submitter) => number {
  return ([namespace]) => hashOf(namespace) & (shardCount - 1);
}

function placeOfSigner(shardCount: number): (signer: Signer) => number {
  return ({ domain }) => hashOf(domain) & (shardCount - 1);
}

function each<T>({ items, places }: PlacedItems<T>, visit: (item: T, place: number) => void): void {
  for (let at = 0; at < items.length; at += 1) visit(items[at] as T, places[at] as number);
}

function placedItems<T>(
  items: readonly T[],
  before: PlacedItems<T> | undefined,
  placeOf: (item: T) => number,
): PlacedItems<T> {
  if (before === undefined) return { items, places: Uint16Array.from(items, placeOf) };
  const { head, tail } = sameEnds(items, before.items);
  const places = new Uint16Array(items.length);
  places.set(before.places.subarray(0, head));
  for (let at = head; at < items.length - tail; at += 1) places[at] = placeOf(items[at] as T);
  places.set(before.places.subarray(before.items.length - tail), items.length - tail);
  return { items, places };
}

/** By index those shards of the table before whose content is the same, found without making them again. */
function keptShards(
  placed: Placed,
  previous: RouteTable,
  before: Placed | undefined,
): readonly (Shard | undefined)[] {
  const { shards } = previous;
  const mayDiffer = new Uint8Array(shards.length).fill(before === undefined ? 1 : 0);
  if (before !== undefined) {
    markChanges(placed.entries, before.entries, { marks: mayDiffer, isSame: isSameEntry });
    markChanges(placed.routes, before.routes, { marks: mayDiffer, isSame: isSameValue });
  }
  const keys = new Same(shards.length);
  const routes = new Same(shards.length);
  const submitters = new Same(shards.length);
  const signers = new Same(shards.length);
  each(placed.entries, ({ key, senderKey, route }, place) => {
    if (mayDiffer[place] === 1) keys.add(place, () => holderOf(previous, key, senderKey) === route);
  });
  each(placed.routes, (route, place) => {
    if (mayDiffer[place] === 1)
      routes.add(place, () => isSameValue(route, shards[place]?.routes.get(route.id)));
  });
  each(placed.submitters, ([namespace, rights], place) => {
    submitters.add(place, () => isSameValue(rights, shards[place]?.submitters.get(namespace)));
  });
  each(placed.signers, (signer, place) => {
    signers.add(place, () => isSameValue(signer, shards[place]?.signers.get(signer.domain)));
  });
  return shards.map((shard, index) => {
    const isSame =
      signers.isSame(index, shard.signers.size) &&
      submitters.isSame(index, shard.submitters.size) &&
      (mayDiffer[index] === 0 ||
        (keys.isSame(index, shard.keys) && routes.isSame(index, shard.routes.size)));
    return isSame ? shard : undefined;
  });
}

/** Whether shards hold the same items: as many as before, each of them as before, so none is gone either. */
class Same {
  readonly #counts: Uint32Array;
  readonly #differs: Uint8Array;

  constructor(shardCount: number) {
    this.#counts = new Uint32Array(shardCount);
    this.#differs = new Uint8Array(shardCount);
  }

  add(index: number, isAsBefore: () => boolean): void {
    this.#counts[index] = (this.#counts[index] as number) + 1;
    if (this.#differs[index] === 0 && !isAsBefore()) this.#differs[index] = 1;
  }

  isSame(index: number, countBefore: number): boolean {
    return this.#differs[index] === 0 && this.#counts[index] === countBefore;
  }
}

/** Marks the shards of all items between the ends that are the same. */
function markChanges<T>(
  a: PlacedItems<T>,
  b: PlacedItems<T>,
  options: { readonly marks: Uint8Array; readonly isSame: (a: T, b: T) => boolean },
): void {
  const { head, tail } = sameEnds(a.items, b.items, options.isSame);
  for (const { items, places } of [a, b]) {
    for (let at = head; at < items.length - tail; at += 1) {
      options.marks[places[at] as number] = 1;
    }
  }
}

function isSameEntry(a: TableEntry, b: TableEntry): boolean {
  return a.key === b.key && a.senderKey === b.senderKey && a.route === b.route;
}

function addEntry(draft: Draft, entry: TableEntry): void {
  const { kind, name } = keyParts(entry.key);
  draft.keys += 1;
  if (kind === "address") {
    draft.addresses.set(name, withEntry(draft.addresses.get(name), entry));
    return;
  }
  const node = draft.names.get(name) ?? { domain: undefined, suffix: undefined };
  node[kind] = withEntry(node[kind], entry);
  draft.names.set(name, node);
}

function newDraft(): Draft {
  return {
    names: new Map(),
    addresses: new Map(),
    routes: new Map(),
    submitters: new Map(),
    signers: new Map(),
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

/** Plain data as routes are made of: no cycles, property order does not matter. */
export function isSameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const left = Object.entries(a);
  if (left.length !== Object.keys(b).length) return false;
  return left.every(([name, value]) => isSameValue(value, Reflect.get(b, name)));
}
