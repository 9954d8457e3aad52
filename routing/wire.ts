/**
 * The table as it travels: a manifest and content-addressed shards, JSON with sorted lists, so that the
 * same content has the same bytes and one changed key makes one new shard. Hashing and gzip are passed
 * in. Decoding trusts nothing: every entry is checked, and a bad one refuses the table (TableError).
 */
import { limits } from "./limits.ts";
import type { Route } from "./route.ts";
import {
  contentsOf,
  type RouteTable,
  routesOf,
  type Shard,
  signersIn,
  submitterEntries,
  type TableEntry,
  tableEntries,
} from "./table.ts";
import { buildTable } from "./table-builder.ts";
import { checkFormat, readJson, TableError } from "./table-error.ts";
import {
  type DecodedShard,
  format,
  type Interner,
  idsOf,
  readShard,
  shardBytes,
} from "./wire-shard.ts";

export type { DecodedShard, Interner } from "./wire-shard.ts";

export type Sha256 = (bytes: Uint8Array) => string;
export type Gzip = (bytes: Uint8Array) => Uint8Array;

export type ManifestShard = {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
};

export type Manifest = {
  readonly format: number;
  readonly digest: string;
  /** Digests of the tables before it, the latest first. */
  readonly parents: readonly string[];
  /** In table order: their number is a power of two. */
  readonly shards: readonly ManifestShard[];
  /** Ready relays when it was written: what each takes of a route's `delivery` limits. */
  readonly relays: number;
};

export type EncodeOptions = {
  readonly sha256: Sha256;
  /** Used for tables of more than one shard; without it shards stay plain JSON. */
  readonly gzip?: Gzip;
  readonly previousShardCount?: number;
  readonly parents?: readonly string[];
  readonly relays?: number;
};

export type Encoded = {
  readonly manifest: Manifest;
  readonly shards: ReadonlyMap<string, Uint8Array>;
};

const encoder = new TextEncoder();

/** Throws TableError only where even the largest shard count leaves a shard over its limit. */
export function encode(table: RouteTable, options: EncodeOptions): Encoded {
  let count = options.previousShardCount ?? table.shards.length;
  if (count !== table.shards.length) {
    count = shardCountFor(tableBytesEstimate(tableEntries(table), routesOf(table)), count);
  }
  for (; count <= limits.shardCountMax; count *= 2) {
    const encoded = encodeShards(resharded(table, count), options);
    if (encoded !== undefined) return encoded;
  }
  throw new TableError("table: a shard is over its size limit at every shard count");
}

function encodeShards(table: RouteTable, options: EncodeOptions): Encoded | undefined {
  const list: ManifestShard[] = [];
  const hashes: string[] = [];
  const shards = new Map<string, Uint8Array>();
  for (const index of table.shards.keys()) {
    const { hash, listed, bytes, rawBytes } = encodeShard(table, index, options);
    const isTooLarge = bytes.length > limits.shardBytesMax || rawBytes > limits.shardRawBytesMax;
    if (isTooLarge) return undefined;
    hashes.push(hash);
    list.push(listed);
    shards.set(listed.name, bytes);
  }
  const { parents = [], relays = 0 } = options;
  const digest = digestOfHashes(hashes, options.sha256);
  const recent = parents.slice(0, limits.manifestParentsMax);
  return { manifest: { format, digest, parents: recent, shards: list, relays }, shards };
}

type EncodedShard = {
  /** Of the content, whatever its compression. */
  readonly hash: string;
  readonly listed: ManifestShard;
  readonly bytes: Uint8Array;
  /** Before compression: a relay takes no more than it could hold. */
  readonly rawBytes: number;
};
type KnownShard = EncodedShard & {
  readonly place: string;
  readonly sha256: Sha256;
  readonly gzip: Gzip | undefined;
};
const knownShards = new WeakMap<Shard, KnownShard>();

/** Shards are immutable and mostly shared with the table before: each is encoded once. */
function encodeShard(table: RouteTable, index: number, options: EncodeOptions): EncodedShard {
  const shard = table.shards[index] as Shard;
  const place = placeOf(table, index);
  const { sha256, gzip } = options;
  const known = knownShards.get(shard);
  if (known?.place === place && known.sha256 === sha256 && known.gzip === gzip) return known;
  const raw = shardBytes(table, index);
  const hash = contentHash(table, index, sha256, raw);
  const bytes = table.shards.length > 1 && gzip !== undefined ? gzip(raw) : raw;
  const stored = sha256(bytes);
  const listed = { name: `shard-${stored.slice(0, 20)}`, sha256: stored, bytes: bytes.length };
  const rawBytes = raw.length;
  const encoded = { hash, listed, bytes, rawBytes, place, sha256, gzip };
  knownShards.set(shard, encoded);
  return encoded;
}

function placeOf(table: RouteTable, index: number): string {
  return `${index}/${table.shards.length}`;
}

function resharded(table: RouteTable, shardCount: number): RouteTable {
  if (table.shards.length === shardCount) return table;
  return buildTable(
    {
      ...{ entries: tableEntries(table), routes: routesOf(table) },
      ...{ submitters: submitterEntries(table), signers: signersIn(table) },
    },
    { shardCount },
  );
}

/** Rough JSON size: good enough to choose a number of shards. */
export function tableBytesEstimate(entries: Iterable<TableEntry>, routes: Iterable<Route>): number {
  let bytes = 0;
  for (const { key, senderKey } of entries) bytes += key.length + (senderKey?.length ?? 0) + 8;
  for (const route of routes) bytes += 300 + route.id.length * 3 + hostsOf(route) * 70;
  return bytes;
}

function hostsOf({ target }: Route): number {
  return target.kind === "hosts" ? target.hosts.length : 0;
}

/** Shards of 64 KiB on average; the number changes only when that is off by more than half. */
export function shardCountFor(bytes: number, previousShardCount: number): number {
  let count = Math.min(Math.max(previousShardCount, 1), limits.shardCountMax);
  while (count < limits.shardCountMax && bytes / count > 2 * limits.shardBytesTarget) count *= 2;
  while (count > 1 && bytes / count < limits.shardBytesTarget / 4) count /= 2;
  return count;
}

/** Over the content, not over the stored bytes: gzip does not change it. */
export function digestOf(table: RouteTable, sha256: Sha256): string {
  const hashes = table.shards.map((_, index) => contentHash(table, index, sha256));
  return digestOfHashes(hashes, sha256);
}

function digestOfHashes(hashes: readonly string[], sha256: Sha256): string {
  return sha256(encoder.encode(`mailroute table ${format}\n${hashes.join("\n")}\n`));
}

type KnownHash = { readonly place: string; readonly sha256: Sha256; readonly hash: string };
const knownHashes = new WeakMap<Shard, KnownHash>();

/** Each is hashed once. */
function contentHash(table: RouteTable, index: number, sha256: Sha256, bytes?: Uint8Array): string {
  const shard = table.shards[index] as Shard;
  const place = placeOf(table, index);
  const known = knownHashes.get(shard);
  if (known?.place === place && known.sha256 === sha256) return known.hash;
  const hash = sha256(bytes ?? shardBytes(table, index));
  knownHashes.set(shard, { place, sha256, hash });
  return hash;
}

const hex64 = /^[0-9a-f]{64}$/;
const shardName = /^shard-[0-9a-f]{20}$/;

/** Throws TableError: names the place and the cause. */
export function decodeManifest(text: string): Manifest {
  if (text.length > limits.manifestBytesMax) throw new TableError("manifest: too long");
  const raw = readJson(text, "manifest");
  const { format: written, digest, parents, shards, relays } = raw;
  checkFormat(written, "manifest", format);
  if (typeof digest !== "string" || !hex64.test(digest)) throw bad("digest", digest);
  if (typeof relays !== "number" || !Number.isSafeInteger(relays) || relays < 0) {
    throw bad("relays", relays);
  }
  if (!Array.isArray(parents) || parents.length > limits.manifestParentsMax) {
    throw bad("parents", parents);
  }
  const isDigest = (item: unknown): item is string => typeof item === "string" && hex64.test(item);
  if (!parents.every(isDigest)) throw bad("parents", parents);
  if (
    !Array.isArray(shards) ||
    !isPowerOfTwo(shards.length) ||
    shards.length > limits.shardCountMax
  ) {
    throw bad("shards", shards);
  }
  return { format, digest, parents, shards: shards.map(manifestShard), relays };
}

function manifestShard(item: unknown, index: number): ManifestShard {
  const { name, sha256, bytes } = (item ?? {}) as Record<string, unknown>;
  const isGood =
    typeof name === "string" &&
    shardName.test(name) &&
    typeof sha256 === "string" &&
    hex64.test(sha256) &&
    typeof bytes === "number" &&
    Number.isSafeInteger(bytes) &&
    bytes > 0 &&
    bytes <= limits.shardBytesMax;
  if (!isGood) throw bad(`shards[${index}]`, item);
  return { name, sha256, bytes };
}

function isPowerOfTwo(count: number): boolean {
  return count > 0 && (count & (count - 1)) === 0;
}

function bad(place: string, value: unknown): TableError {
  return new TableError(`manifest: ${place} is not valid: ${JSON.stringify(value)?.slice(0, 80)}`);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export type DecodeOptions = { readonly gunzip?: Gzip; readonly interner?: Interner };

/** The bytes of a shard that the manifest names: its hash, then every entry checked. Throws TableError. */
export function decodeShardOf(
  { name, sha256 }: ManifestShard,
  bytes: Uint8Array,
  options: DecodeOptions & { readonly sha256: Sha256 },
): DecodedShard {
  if (options.sha256(bytes) !== sha256) {
    throw new TableError(`shard ${name} does not have the content that the manifest says`);
  }
  return decodeShard(bytes, options);
}

/** A shard of which every entry has been checked; its hash has not. Throws TableError. */
export function decodeShard(bytes: Uint8Array, options: DecodeOptions = {}): DecodedShard {
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  let text: string;
  try {
    if (isGzip && options.gunzip === undefined) throw new TypeError("no gunzip was given");
    text = decoder.decode(isGzip ? options.gunzip?.(bytes) : bytes);
  } catch (cause) {
    throw new TableError("shard: cannot be read", { cause });
  }
  if (text.length > limits.shardRawBytesMax) throw new TableError("shard: too long");
  return readShard(text, options.interner);
}

/** `shards` by name; those of the table before may be given again. Throws TableError. */
export function assembleTable(
  manifest: Manifest,
  shards: ReadonlyMap<string, DecodedShard>,
): RouteTable {
  const steps = assembleSteps(manifest, shards);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** The same, a shard at a time: a relay under load does other work between two steps. Throws TableError. */
export function* assembleSteps(
  manifest: Manifest,
  shards: ReadonlyMap<string, DecodedShard>,
): Generator<undefined, RouteTable, undefined> {
  const count = manifest.shards.length;
  const list: Shard[] = [];
  const known = new Set<string>();
  for (const [index, { name }] of manifest.shards.entries()) {
    const decoded = shards.get(name);
    if (decoded === undefined) throw new TableError(`table: shard ${name} is missing`);
    if (decoded.index !== index || decoded.count !== count) {
      const place = `${decoded.index} of ${decoded.count}`;
      throw new TableError(`table: shard ${name} is number ${place}, not ${index} of ${count}`);
    }
    list.push(decoded.shard);
    for (const id of decoded.shard.routes.keys()) known.add(id);
    yield;
  }
  for (const [index, shard] of list.entries()) {
    for (const id of idsOf(shard)) {
      if (known.has(id)) continue;
      throw new TableError(`table: shard ${index} names route ${id}, which is missing`);
    }
    yield;
  }
  return { shards: list, ...contentsOf(list), digest: manifest.digest };
}
