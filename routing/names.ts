/**
 * The domains, literals and suffixes of one shard, packed into a few typed arrays: a hash table of our own
 * instead of a Map, because a million small strings and map cells are what a large table's memory is,
 * and because the hash of every suffix is known before its text is cut out. Immutable.
 */
import { hashOf } from "./hash.ts";
import type { RouteId } from "./route.ts";
import type { Entries, NameNode } from "./table.ts";

export type NameRow = NameNode & { readonly name: string };

/** Numbers of one row, side by side so that they share a cache line. */
const rowNumbers = 4;
const hashAt = 0;
const endAt = 1;
const domainAt = 2;
const suffixAt = 3;

const decoder = new TextDecoder("latin1");

export class Names {
  readonly size: number;
  /** ASCII of all names in order. */
  readonly bytes: Uint8Array;
  /** By row: hash, where its name ends in `bytes`, and index + 1 into `values` twice (0 is none). */
  readonly table: Uint32Array;
  /** Open addressing, linear probing: row + 1, 0 is free. At most three quarters are taken. */
  readonly slots: Uint16Array | Uint32Array;
  readonly values: readonly Entries[];

  /** Rows in order of name, each name once: equal content makes equal arrays. */
  constructor(rows: readonly NameRow[]) {
    this.size = rows.length;
    this.table = new Uint32Array(rows.length * rowNumbers);
    const capacity = capacityFor(rows.length);
    this.slots = rows.length < 0xffff ? new Uint16Array(capacity) : new Uint32Array(capacity);
    this.bytes = new Uint8Array(rows.reduce((sum, { name }) => sum + name.length, 0));
    const values = new Values();
    let end = 0;
    for (const [row, { name, domain, suffix }] of rows.entries()) {
      for (let at = 0; at < name.length; at += 1) this.bytes[end + at] = name.charCodeAt(at);
      end += name.length;
      const hash = hashOf(name);
      const first = row * rowNumbers;
      this.table[first + hashAt] = hash;
      this.table[first + endAt] = end;
      this.table[first + domainAt] = values.number(domain);
      this.table[first + suffixAt] = values.number(suffix);
      this.slots[this.#freeSlot(hash)] = row + 1;
    }
    this.values = values.list;
  }

  /** The row of text from `start` on, whose hash is `hash`; -1 where there is none. */
  find(hash: number, text: string, start: number): number {
    const { slots, table } = this;
    const mask = slots.length - 1;
    let slot = slotOf(hash, mask);
    for (;;) {
      const row = (slots[slot] as number) - 1;
      if (row < 0) return -1;
      if (table[row * rowNumbers] === hash && this.#isAt(row, text, start)) return row;
      slot = (slot + 1) & mask;
    }
  }

  domainAt(row: number): Entries | undefined {
    const number = this.table[row * rowNumbers + domainAt] as number;
    return number === 0 ? undefined : this.values[number - 1];
  }

  suffixAt(row: number): Entries | undefined {
    const number = this.table[row * rowNumbers + suffixAt] as number;
    return number === 0 ? undefined : this.values[number - 1];
  }

  get(name: string): NameNode | undefined {
    const row = this.find(hashOf(name), name, 0);
    return row < 0 ? undefined : { domain: this.domainAt(row), suffix: this.suffixAt(row) };
  }

  *rows(): Generator<NameRow> {
    const text = decoder.decode(this.bytes);
    for (let row = 0; row < this.size; row += 1) {
      const name = text.slice(this.#startOf(row), this.endOf(row));
      yield { name, domain: this.domainAt(row), suffix: this.suffixAt(row) };
    }
  }

  #startOf(row: number): number {
    return row === 0 ? 0 : this.endOf(row - 1);
  }

  /** Where its name ends in `bytes`. */
  endOf(row: number): number {
    return this.table[row * rowNumbers + endAt] as number;
  }

  #isAt(row: number, text: string, start: number): boolean {
    const { bytes } = this;
    const from = this.#startOf(row);
    const length = this.endOf(row) - from;
    if (text.length - start !== length) return false;
    for (let at = 0; at < length; at += 1) {
      if (bytes[from + at] !== text.charCodeAt(start + at)) return false;
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
