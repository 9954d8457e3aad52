/**
 * One shard as JSON text. Lists are sorted and routes have their properties in order, so equal content
 * is equal text. Reading checks every name against the canonical grammar and its place in the table.
 */
import { hashOf } from "./hash.ts";
import {
  isAddressName,
  isDomainName,
  isSuffixName,
  type KeyKind,
  parseKey,
  type SenderKey,
} from "./key.ts";
import { limits } from "./limits.ts";
import { type NameRow, Names } from "./names.ts";
import type { Route, RouteId, Signer } from "./route.ts";
import { type Entries, entryList, type Rights, type RouteTable, type Shard } from "./table.ts";
import { checkFormat, readJson, TableError } from "./table-error.ts";
import { readRoute, readSigner } from "./wire-route.ts";

export const format = 1;

const encoder = new TextEncoder();

export function shardBytes(table: RouteTable, index: number): Uint8Array {
  const shard = table.shards[index] as Shard;
  const routes = [...shard.routes.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const ids = [...new Set(idsOf(shard))].sort();
  const numbers = new Map(ids.map((id, number) => [id, number]));
  const list = (kind: KeyKind) => flatEntries(shard, kind, numbers);
  const wire = {
    format,
    index,
    count: table.shards.length,
    routes: routes.map(canonical),
    ids,
    addresses: list("address"),
    domains: list("domain"),
    suffixes: list("suffix"),
    ...(shard.submitters.size > 0 && wireSubmitters(shard)),
    ...(shard.signers.size > 0 && {
      signers: [...shard.signers.values()]
        .sort((a, b) => (a.domain < b.domain ? -1 : 1))
        .map(canonical),
    }),
  };
  return encoder.encode(JSON.stringify(wire));
}

/**
 * Rights are those of many namespaces: each stands once, [sender keys, messages per hour (0: no limit)], and a 1
 * where they are in doubt.
 */
function wireSubmitters({ submitters }: Shard): { rights: unknown[]; submitters: unknown[] } {
  const numbers = new Map<Rights, number>();
  const rows = [...submitters].sort(([a], [b]) => (a < b ? -1 : 1));
  const texts = new Map<string, Rights>();
  const list = rows.map(([namespace, rights]) => {
    const known = numbers.has(rights) ? rights : (texts.get(JSON.stringify(rights)) ?? rights);
    if (known === rights && !numbers.has(rights)) {
      texts.set(JSON.stringify(rights), rights);
      numbers.set(rights, numbers.size);
    }
    return [namespace, numbers.get(known)];
  });
  const rights = [...numbers.keys()].map(({ senders, messagesPerHour = 0, inDoubt }) => [
    senders,
    messagesPerHour,
    ...(inDoubt === true ? [1] : []),
  ]);
  return { rights, submitters: list };
}

/** Every route that an entry names, some more than once; it may stand in another shard. */
export function* idsOf(shard: Shard): Generator<RouteId> {
  for (const list of [shard.names.values, shard.addresses.values()]) {
    for (const entries of list) {
      if (typeof entries === "string") yield entries;
      else for (const [, id] of entryList(entries)) yield id;
    }
  }
}

/** [name, entries, name, entries, ...]; entries: the route's number, or [sender key or "", number]s. */
function flatEntries(
  shard: Shard,
  kind: KeyKind,
  numbers: ReadonlyMap<RouteId, number>,
): readonly unknown[] {
  const pairs: (readonly [string, Entries])[] = [];
  if (kind === "address") {
    for (const pair of shard.addresses) pairs.push(pair);
  } else {
    for (const row of shard.names.rows()) {
      if (row[kind] !== undefined) pairs.push([row.name, row[kind]]);
    }
  }
  pairs.sort(([a], [b]) => (a < b ? -1 : 1));
  return pairs.flatMap(([name, entries]) => [name, wireEntries(entries, numbers)]);
}

function wireEntries(entries: Entries, numbers: ReadonlyMap<RouteId, number>): unknown {
  if (typeof entries === "string") return numbers.get(entries);
  return entryList(entries)
    .map(([senderKey, id]) => [senderKey ?? "", numbers.get(id)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The same value with its properties in order of name. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, item]) => [name, canonical(item)]));
}

export type DecodedShard = {
  readonly shard: Shard;
  readonly index: number;
  readonly count: number;
};

/** Shares equal route ids among the shards of one load. */
export class Interner {
  readonly #ids = new Map<string, RouteId>();

  id(text: string): RouteId {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    this.#ids.set(text, text as RouteId);
    return text as RouteId;
  }
}

/** Throws TableError. */
export function readShard(text: string, interner: Interner = new Interner()): DecodedShard {
  const raw = readJson(text, "shard");
  const { format: written, index, count } = raw;
  checkFormat(written, "shard", format);
  if (!isCount(count) || !isIndex(index, count)) {
    throw new TableError(`shard: number ${String(index)} of ${String(count)} is not a place`);
  }
  return new ShardReader({ index, count, interner }).read(raw);
}

function isCount(count: unknown): count is number {
  return (
    typeof count === "number" &&
    Number.isInteger(count) &&
    count > 0 &&
    count <= limits.shardCountMax &&
    (count & (count - 1)) === 0
  );
}

function isIndex(index: unknown, count: number): index is number {
  return typeof index === "number" && Number.isInteger(index) && index >= 0 && index < count;
}

class ShardReader {
  readonly #at: { readonly index: number; readonly count: number; readonly interner: Interner };
  #ids: readonly RouteId[] = [];
  #keys = 0;

  constructor(at: { index: number; count: number; interner: Interner }) {
    this.#at = at;
  }

  read(raw: Record<string, unknown>): DecodedShard {
    const { index, count, interner } = this.#at;
    this.#ids = list(raw, "ids").map((id) => {
      if (typeof id !== "string") throw this.#error("ids", id);
      return interner.id(id);
    });
    const routes = this.#routes(list(raw, "routes"));
    const addresses = new Map<string, Entries>();
    this.#each(raw, "addresses", isAddressName, (name, entries) => addresses.set(name, entries));
    const domains: [string, Entries][] = [];
    this.#each(raw, "domains", isDomainName, (name, entries) => domains.push([name, entries]));
    const suffixes: [string, Entries][] = [];
    this.#each(raw, "suffixes", isSuffixName, (name, entries) => suffixes.push([name, entries]));
    const names = new Names(merged(domains, suffixes));
    const rights = optionalList(raw, "rights").map((row) => this.#rights(row));
    const submitters = this.#submitters(optionalList(raw, "submitters"), rights);
    const signers = this.#signers(optionalList(raw, "signers"));
    const shard: Shard = { names, addresses, routes, submitters, signers, keys: this.#keys };
    return { shard, index, count };
  }

  #routes(raw: readonly unknown[]): ReadonlyMap<RouteId, Route> {
    const routes = new Map<RouteId, Route>();
    for (const item of raw) {
      const route = readRoute(item);
      if (typeof route === "string") throw new TableError(`shard ${this.#at.index}: ${route}`);
      const id = this.#at.interner.id(route.id);
      if (!this.#isHere(id) || routes.has(id)) throw this.#error("routes", id);
      routes.set(id, { ...route, id });
    }
    return routes;
  }

  #rights(row: unknown): Rights {
    const [keys, perHour, doubt] = Array.isArray(row) ? (row as unknown[]) : [];
    const parsed = Array.isArray(keys) ? keys.map((key) => parseKey(String(key))) : [undefined];
    const senders = parsed.filter((key) => key !== undefined);
    const isCount = typeof perHour === "number" && Number.isSafeInteger(perHour) && perHour >= 0;
    const isMark = doubt === undefined || doubt === 1;
    if (senders.length < parsed.length || !isCount || !isMark) throw this.#error("rights", row);
    const limit = perHour > 0 && { messagesPerHour: perHour };
    return { senders, ...limit, ...(doubt === 1 && { inDoubt: true }) };
  }

  #submitters(rows: readonly unknown[], all: readonly Rights[]): ReadonlyMap<string, Rights> {
    const submitters = new Map<string, Rights>();
    for (const row of rows) {
      const [namespace, number] = Array.isArray(row) ? (row as unknown[]) : [];
      const rights = typeof number === "number" ? all[number] : undefined;
      const isNew = typeof namespace === "string" && !submitters.has(namespace);
      if (!isNew || rights === undefined || !this.#isHere(namespace))
        throw this.#error("submitters", row);
      submitters.set(namespace, rights);
    }
    return submitters;
  }

  #signers(rows: readonly unknown[]): ReadonlyMap<string, Signer> {
    const signers = new Map<string, Signer>();
    for (const row of rows) {
      const signer = readSigner(row);
      const isNew = signer !== undefined && !signers.has(signer.domain);
      if (!isNew || !this.#isHere(signer.domain)) throw this.#error("signers", row);
      signers.set(signer.domain, signer);
    }
    return signers;
  }

  #each(
    raw: Record<string, unknown>,
    field: "addresses" | "domains" | "suffixes",
    isName: (name: string) => boolean,
    take: (name: string, entries: Entries) => void,
  ): void {
    const flat = list(raw, field);
    if (flat.length % 2 !== 0) throw this.#error(field, "an odd number of items");
    let before: string | undefined;
    for (let at = 0; at < flat.length; at += 2) {
      const name = flat[at];
      if (typeof name !== "string" || !isName(name)) throw this.#error(field, name);
      if (!this.#isHere(name)) throw this.#error(`${field} (wrong shard)`, name);
      if (before !== undefined && before >= name) throw this.#error(`${field} (order)`, name);
      before = name;
      take(name, this.#entries(flat[at + 1], name));
    }
  }

  #entries(value: unknown, name: string): Entries {
    if (typeof value === "number") {
      this.#keys += 1;
      return this.#route(value, name);
    }
    if (!Array.isArray(value) || value.length === 0) throw this.#error("entries", name);
    let any: RouteId | undefined;
    const bySender = new Map<SenderKey, RouteId>();
    for (const item of value) {
      const [text, number] = Array.isArray(item) ? (item as unknown[]) : [];
      const route = this.#route(number, name);
      const senderKey = typeof text === "string" && text !== "" ? parseKey(text) : undefined;
      if (text === "" && any === undefined) any = route;
      else if (senderKey !== undefined && !bySender.has(senderKey)) bySender.set(senderKey, route);
      else throw this.#error(`sender of ${name}`, text);
    }
    this.#keys += value.length;
    if (bySender.size === 0) throw this.#error("entries", name);
    return { any, bySender };
  }

  #route(number: unknown, name: string): RouteId {
    const id = typeof number === "number" ? this.#ids[number] : undefined;
    if (id === undefined) throw this.#error(`route of ${name}`, number);
    return id;
  }

  #isHere(name: string): boolean {
    return (hashOf(name) & (this.#at.count - 1)) === this.#at.index;
  }

  #error(field: string, value: unknown): TableError {
    const shown = JSON.stringify(value)?.slice(0, 100);
    return new TableError(`shard ${this.#at.index}: ${field}: not valid: ${shown}`);
  }
}

/** Both lists are in order of name. */
function merged(
  domains: readonly (readonly [string, Entries])[],
  suffixes: readonly (readonly [string, Entries])[],
): readonly NameRow[] {
  const rows: NameRow[] = [];
  let left = 0;
  let right = 0;
  while (left < domains.length || right < suffixes.length) {
    const [name = "", domain] = domains[left] ?? [];
    const [other = "", suffix] = suffixes[right] ?? [];
    if (right >= suffixes.length || (left < domains.length && name < other)) {
      rows.push({ name, domain, suffix: undefined });
      left += 1;
    } else if (left >= domains.length || other < name) {
      rows.push({ name: other, domain: undefined, suffix });
      right += 1;
    } else {
      rows.push({ name, domain, suffix });
      left += 1;
      right += 1;
    }
  }
  return rows;
}

function list(raw: Record<string, unknown>, field: string): readonly unknown[] {
  const value = raw[field];
  if (!Array.isArray(value)) throw new TableError(`shard: ${field} is not a list`);
  return value;
}

function optionalList(raw: Record<string, unknown>, field: string): readonly unknown[] {
  return raw[field] === undefined ? [] : list(raw, field);
}
