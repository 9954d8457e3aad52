/**
 * Putting a table in force: every shard must be what the manifest says and every entry must parse, else the
 * one in force stays. Loop: takes one table after the other, the latest last, in slices that never block the
 * relay for long. Where manifest and shards come from is the sources' matter.
 */
import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { keyCount, type RouteTable } from "../../routing/table.ts";
import {
  assembleSteps,
  type DecodedShard,
  decodeManifest,
  decodeShardOf,
} from "../../routing/wire.ts";
import type { TableHolder } from "./holder.ts";

export type Offer = {
  /** The manifest's text. */
  readonly manifest: string;
  /** A shard that no table before had. May reject: then nothing of the offer counts. */
  readonly shard: (name: string) => Promise<Uint8Array>;
  readonly stale: boolean;
  /** Keys are missing of which nobody knows; see ActiveTable. */
  readonly incomplete?: boolean;
  /** Rejected where a table is in force by the time that this one could be. */
  readonly onlyFirst?: true;
  /** Called, and waited for, right before the table counts: so credentials are there by then. Must not reject. */
  readonly ready?: (table: RouteTable) => Promise<void>;
};

export type Activated = { readonly digest: string; readonly keys: number; readonly ms: number };

const sliceMsMax = 2;
/** Shards that are fetched while one is decoded. */
const readAheadMax = 7;
const decoding = {
  sha256: (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex"),
  gunzip: gunzipSync,
};

export class Activation {
  readonly #tables: TableHolder;
  readonly #now: () => number;
  #shards: ReadonlyMap<string, DecodedShard> = new Map();
  #last: Promise<unknown> = Promise.resolve();

  constructor(tables: TableHolder, now: () => number) {
    this.#tables = tables;
    this.#now = now;
  }

  /** Rejects with what is wrong with the offer. Offers are taken in order, one at a time. */
  async take(offer: Offer): Promise<Activated> {
    const done = this.#last.then(async () => await this.#activate(offer));
    this.#last = done.catch(() => undefined);
    return await done;
  }

  async #activate(offer: Offer): Promise<Activated> {
    const startedMs = this.#now();
    const manifest = decodeManifest(offer.manifest);
    const shards = new Map<string, DecodedShard>();
    const missing = manifest.shards.filter(({ name }) => !this.#shards.has(name));
    const fetch = readAhead(missing, async ({ name }) => await offer.shard(name));
    for (const listed of manifest.shards) {
      const { name } = listed;
      const known = this.#shards.get(name);
      shards.set(name, known ?? decodeShardOf(listed, await fetch(listed), decoding));
      if (known === undefined) await turn(); // other work between two shards
    }
    const table = await inSlices(assembleSteps(manifest, shards));
    if (offer.onlyFirst === true && this.#tables.current !== undefined) {
      throw new Error("a newer table is in force already");
    }
    await offer.ready?.(table);
    const { digest } = manifest;
    const nowMs = this.#now();
    this.#shards = shards;
    const relays = Math.max(1, manifest.relays);
    const { stale, incomplete = false } = offer;
    this.#tables.activate({ table, digest, activatedAtMs: nowMs, stale, incomplete, relays });
    return { digest, keys: keyCount(table), ms: nowMs - startedMs };
  }
}

/** Items are asked for in order; by then those after them are on their way. */
function readAhead<T, R>(
  items: readonly T[],
  read: (item: T) => Promise<R>,
): (item: T) => Promise<R> {
  const reading = new Map<T, Promise<R>>();
  let next = 0;
  return async (item) => {
    while (next < items.length && reading.size <= readAheadMax) {
      const ahead = items[next++] as T;
      const answer = read(ahead);
      answer.catch(() => undefined); // whoever comes to it hears of it; after a failure nobody does
      reading.set(ahead, answer);
    }
    const answer = reading.get(item);
    reading.delete(item);
    return await (answer ?? read(item));
  };
}

/** Runs the steps, letting others in whenever a slice is used up. */
async function inSlices<T>(steps: Generator<undefined, T, undefined>): Promise<T> {
  for (;;) {
    const endMs = performance.now() + sliceMsMax;
    while (performance.now() < endMs) {
      const step = steps.next();
      if (step.done) return step.value;
    }
    await turn();
  }
}
