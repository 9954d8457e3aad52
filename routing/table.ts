/**
 * The route table in memory: a power of two of shards, each with its own maps, so that one changed key
 * or route makes one new shard and all others are shared with the table before. Immutable: a
 * transaction keeps the table it began with. Look-ups only; `table-builder.ts` makes tables.
 */
import { hashOf } from "./hash.ts";
import {
  everyDomain,
  type KeyKind,
  keyOf,
  keyParts,
  type RecipientKey,
  type SenderKey,
} from "./key.ts";
import { type Names, noNames } from "./names.ts";
import type { Route, RouteId, Signer } from "./route.ts";

/** Under one recipient key: `any` is the entry without senders. */
export type SenderEntries = {
  readonly any: RouteId | undefined;
  readonly bySender: ReadonlyMap<SenderKey, RouteId>;
};

/** A bare RouteId is the common case, one entry without senders; it saves two objects a key. */
export type Entries = RouteId | SenderEntries;

export type NameNode = {
  readonly domain: Entries | undefined;
  readonly suffix: Entries | undefined;
};

/** What authenticated workloads of one namespace may, by the MailGrants. */
export type Rights = {
  /** Whom they may send as, in order. */
  readonly senders: readonly SenderKey[];
  /** Messages of the whole namespace in an hour; undefined: no limit. */
  readonly messagesPerHour?: number;
  /** A grant that does not parse may give more: what these do not allow is deferred, not refused. */
  readonly inDoubt?: true;
};

/** No plain objects: "constructor" is a legal label. Everything in a shard hashes to its place. */
export type Shard = {
  /** Domains, literals and suffixes ("." too). */
  readonly names: Names;
  /** "local@domain", the local part as `localKey` makes it. */
  readonly addresses: ReadonlyMap<string, Entries>;
  readonly routes: ReadonlyMap<RouteId, Route>;
  /** What the workloads of a namespace may; only of those that may anything. */
  readonly submitters: ReadonlyMap<string, Rights>;
  /** Who signs (DKIM) for the authors of a domain and of all under it. */
  readonly signers: ReadonlyMap<string, Signer>;
  /** Entries: pairs of recipient key and sender key. */
  readonly keys: number;
};

export type RouteTable = {
  readonly shards: readonly Shard[];
  /** Whether any shard has addresses: most tables have none, and then nobody looks for them. */
  readonly hasAddresses: boolean;
  /** The same of signers. */
  readonly hasSigners: boolean;
  /** Hex SHA-256 of the content; empty where nobody passed a hash function to `compile`. */
  readonly digest: string;
};

export type TableEntry = {
  readonly key: RecipientKey;
  readonly senderKey: SenderKey | undefined;
  readonly route: RouteId;
};

export const emptyTable: RouteTable = {
  shards: [
    {
      ...{ names: noNames, addresses: new Map(), routes: new Map() },
      ...{ submitters: new Map(), signers: new Map(), keys: 0 },
    },
  ],
  hasAddresses: false,
  hasSigners: false,
  digest: "",
};

/** What look-ups may leave out. */
export function contentsOf(
  shards: readonly Shard[],
): Pick<RouteTable, "hasAddresses" | "hasSigners"> {
  return {
    hasAddresses: shards.some(({ addresses }) => addresses.size > 0),
    hasSigners: shards.some(({ signers }) => signers.size > 0),
  };
}

/** The shard for a finished hash. There is always at least one, so the cast holds. */
export function shardAt(table: RouteTable, hash: number): Shard {
  return table.shards[hash & (table.shards.length - 1)] as Shard;
}

export function routeOf(table: RouteTable, id: RouteId): Route | undefined {
  return shardAt(table, hashOf(id)).routes.get(id);
}

const noRights: Rights = { senders: [] };

/** What the workloads of a namespace may: nothing by default. */
export function rightsOf(table: RouteTable, namespace: string): Rights {
  return shardAt(table, hashOf(namespace)).submitters.get(namespace) ?? noRights;
}

/** All namespaces whose workloads may anything. */
export function* submitterEntries(
  table: RouteTable,
): Generator<readonly [namespace: string, rights: Rights]> {
  for (const shard of table.shards) yield* shard.submitters;
}

export function* signersIn(table: RouteTable): Generator<Signer> {
  for (const shard of table.shards) yield* shard.signers.values();
}

/** All entries under one recipient key. */
export function entriesOf(table: RouteTable, key: RecipientKey): Entries | undefined {
  const { kind, name } = keyParts(key);
  const shard = shardAt(table, hashOf(name));
  return kind === "address" ? shard.addresses.get(name) : shard.names.get(name)?.[kind];
}

export function holderOf(
  table: RouteTable,
  key: RecipientKey,
  senderKey: SenderKey | undefined,
): RouteId | undefined {
  const entries = entriesOf(table, key);
  if (typeof entries === "string") return senderKey === undefined ? entries : undefined;
  return senderKey === undefined ? entries?.any : entries?.bySender.get(senderKey);
}

/** Pairs of recipient key and sender key: the number that the guard watches. */
export function keyCount(table: RouteTable): number {
  return table.shards.reduce((sum, shard) => sum + shard.keys, 0);
}

export function routeCount(table: RouteTable): number {
  return table.shards.reduce((sum, shard) => sum + shard.routes.size, 0);
}

export function* routesOf(table: RouteTable): Generator<Route> {
  for (const shard of table.shards) yield* shard.routes.values();
}

export function* tableEntries(table: RouteTable): Generator<TableEntry> {
  for (const shard of table.shards) yield* shardEntries(shard);
}

export function* shardEntries(shard: Shard): Generator<TableEntry> {
  for (const { name, domain, suffix } of shard.names.rows()) {
    if (domain !== undefined) yield* under("domain", name, domain);
    if (suffix !== undefined) yield* under("suffix", name, suffix);
  }
  for (const [name, entries] of shard.addresses) yield* under("address", name, entries);
}

function* under(kind: KeyKind, name: string, entries: Entries): Generator<TableEntry> {
  const key = keyOf(kind, name);
  for (const [senderKey, route] of entryList(entries)) yield { key, senderKey, route };
}

export function entryList(
  entries: Entries,
): readonly (readonly [SenderKey | undefined, RouteId])[] {
  if (typeof entries === "string") return [[undefined, entries]];
  const list: (readonly [SenderKey | undefined, RouteId])[] = [...entries.bySender];
  if (entries.any !== undefined) list.push([undefined, entries.any]);
  return list;
}

const everyDomainHash = hashOf(everyDomain);

/** Entries under the suffix ".". */
export function everyDomainEntries(table: RouteTable): Entries | undefined {
  const { names } = shardAt(table, everyDomainHash);
  const row = names.find(everyDomainHash, everyDomain, 0);
  return row < 0 ? undefined : names.suffixAt(row);
}
