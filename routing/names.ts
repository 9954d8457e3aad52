/**
 * The domains, literals and suffixes of one shard, packed into a few typed arrays: a hash table of our own
 * instead of a Map, because a million small strings and map cells are what a large table's memory is,
 * and because the hash of every suffix is known before its text is cut out. Immutable.
 */
import { hashOf } from "./hash.ts";
import type { RouteId } from "./route.ts";
import type { Entries, NameNode } from "./table.ts";

export type NameRow = NameNode & { readonly name: string };

export class Names {
  readonly size: number;
  /** ASCII of all names in order; name i is bytes[offsets[i]] to bytes[offsets[i + 1]]. */
  readonly bytes: Uint8Array;
  readonly offsets: Uint32Array;
  readonly hashes: Uint32Array;
  /** Open addressing, linear probing: index + 1, 0 is free. At most three quarters are taken. */
  readonly slots: Uint32Array;
  /** By name: index + 1 into `values`, 0 is none. */
  readonly domains: Uint32Array;
  readonly suffixes: Uint32Array;
  readonly values: readonly Entries[];

  /** Rows in order of name, each name once: equal content makes equal arrays. */
  constructor(rows: readonly NameRow[]) {
    this.size = rows.length;
    this.offsets = new Uint32Array(rows.length + 1);
    this.hashes = new Uint32Array(rows.length);
    this.domains = new Uint32Array(rows.length);
    this.suffixes = new Uint32Array(rows.length);
    this.slots = new Uint32Array(capacityFor(rows.length));
    this.bytes = new Uint8Array(rows.reduce((sum, { name }) => sum + name.length, 0));
    const values = new Values();
    let end = 0;
    for (const [index, { name, domain, suffix }] of rows.entries()) {
      for (let at = 0; at < name.length; at += 1) this.bytes[end + at] = name.charCodeAt(at);
      end += name.length;
      this.offsets[index + 1] = end;
      const hash = hashOf(name);
      this.hashes[index] = hash;
      this.slots[this.#freeSlot(hash)] = index + 1;
      this.domains[index] = values.number(domain);
      this.suffixes[index] = values.number(suffix);
    }
    this.values = values.list;
  }

  /** The row of text from `start` on, whose hash is `hash`; -1 where there is none. */
  find(hash: number, text: string, start: number): number {
    const mask = this.slots.length - 1;
    let slot = slotOf(hash, mask);
    for (;;) {
      const index = (this.slots[slot] as number) - 1;
      if (index < 0) return -1;
      if (this.hashes[index] === hash && this.#isAt(index, text, start)) return index;
      slot = (slot + 1) & mask;
    }
  }

  domainAt(row: number): Entries | undefined {
    return this.values[(this.domains[row] as number) - 1];
  }

  suffixAt(row: number): Entries | undefined {
    return this.values[(this.suffixes[row] as number) - 1];
  }

  get(name: string): NameNode | undefined {
    const row = this.find(hashOf(name), name, 0);
    return row < 0 ? undefined : { domain: this.domainAt(row), suffix: this.suffixAt(row) };
  }

  *rows(): Generator<NameRow> {
    for (let row = 0; row < this.size; row += 1) {
      yield { name: this.#nameAt(row), domain: this.domainAt(row), suffix: this.suffixAt(row) };
    }
  }

  #nameAt(row: number): string {
    return String.fromCharCode(...this.bytes.subarray(this.offsets[row], this.offsets[row + 1]));
  }

  #isAt(index: number, text: string, start: number): boolean {
    const from = this.offsets[index] as number;
    const length = (this.offsets[index + 1] as number) - from;
    if (text.length - start !== length) return false;
    for (let at = 0; at < length; at += 1) {
      if (this.bytes[from + at] !== text.charCodeAt(start + at)) return false;
    }
    return true;
  }

  #freeSlot(hash: number): number {
    const mask = this.slots.length - 1;
    let slot = slotOf(hash, mask);
    while (this.slots[slot] !== 0) slot = (slot + 1) & mask;
    return slot;
  }
}

/** The low bits chose the shard and are the same for all its names, so the slot comes from the others. */
function slotOf(hash: number, mask: number): number {
  return (Math.imul(hash, 0x9e3779b1) >>> 10) & mask;
}

function capacityFor(count: number): number {
  let capacity = 2;
  while (count * 4 > capacity * 3) capacity *= 2;
  return capacity;
}

/** Numbers equal routes equally; entries with senders stand for themselves. */
class Values {
  readonly list: Entries[] = [];
  readonly #known = new Map<RouteId, number>();

  number(entries: Entries | undefined): number {
    if (entries === undefined) return 0;
    if (typeof entries !== "string") return this.list.push(entries);
    const known = this.#known.get(entries) ?? this.list.push(entries);
    this.#known.set(entries, known);
    return known;
  }
}

export const noNames = new Names([]);
