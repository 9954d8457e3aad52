/**
 * The domains, literals and suffixes of one shard, packed into one buffer with a hash table of our own
 * instead of a Map: a million small strings and map cells are what a large table's memory would be, and
 * a look-up costs what it misses in the cache, so a name lies beside its numbers. Immutable.
 */
import { hashOf } from "./hash.ts";
import type { RouteId } from "./route.ts";
import type { Entries, NameNode } from "./table.ts";

export type NameRow = NameNode & { readonly name: string };

/** A record in words of four bytes: hash, length, two numbers of values (0 is none), then the name. */
const lengthAt = 1;
const domainAt = 2;
const suffixAt = 3;
const headWords = 4;

const decoder = new TextDecoder("latin1");

export class Names {
  readonly size: number;
  /** Records in order of name; `bytes` is the same memory. */
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
  /** Open addressing, linear probing: where a record begins + 1, 0 is free; at most 3/4 are taken. */
  readonly slots: Uint16Array | Uint32Array;
  readonly values: readonly Entries[];

  /** Rows in order of name, each name once: equal content makes equal arrays. */
  constructor(rows: readonly NameRow[]) {
    this.size = rows.length;
    const total = rows.reduce((sum, { name }) => sum + recordWords(name.length), 0);
    const capacity = capacityFor(rows.length);
    this.words = new Uint32Array(total);
    this.bytes = new Uint8Array(this.words.buffer);
    this.slots = total < 0xffff ? new Uint16Array(capacity) : new Uint32Array(capacity);
    const values = new Values();
    let record = 0;
    for (const { name, domain, suffix } of rows) {
      const hash = hashOf(name);
      this.words[record] = hash;
      this.words[record + lengthAt] = name.length;
      this.words[record + domainAt] = values.number(domain);
      this.words[record + suffixAt] = values.number(suffix);
      const from = (record + headWords) * 4;
      for (let at = 0; at < name.length; at += 1) this.bytes[from + at] = name.charCodeAt(at);
      this.slots[this.#freeSlot(hash)] = record + 1;
      record += recordWords(name.length);
    }
    this.values = values.list;
  }

  /** The record of text from `start` on, whose hash is `hash`; -1 where there is none. */
  find(hash: number, text: string, start: number): number {
    const { slots, words } = this;
    const mask = slots.length - 1;
    let slot = slotOf(hash, mask);
    for (;;) {
      const record = (slots[slot] as number) - 1;
      if (record < 0) return -1;
      if (words[record] === hash && this.#isAt(record, text, start)) return record;
      slot = (slot + 1) & mask;
    }
  }

  domainAt(record: number): Entries | undefined {
    return this.#value(record + domainAt);
  }

  suffixAt(record: number): Entries | undefined {
    return this.#value(record + suffixAt);
  }

  get(name: string): NameNode | undefined {
    const record = this.find(hashOf(name), name, 0);
    return record < 0 ? undefined : this.#nodeAt(record);
  }

  *rows(): Generator<NameRow> {
    const text = decoder.decode(this.bytes);
    for (let record = 0; record < this.words.length; ) {
      const from = (record + headWords) * 4;
      const length = this.words[record + lengthAt] as number;
      yield { name: text.slice(from, from + length), ...this.#nodeAt(record) };
      record += recordWords(length);
    }
  }

  #nodeAt(record: number): NameNode {
    return { domain: this.domainAt(record), suffix: this.suffixAt(record) };
  }

  #value(place: number): Entries | undefined {
    const number = this.words[place] as number;
    return number === 0 ? undefined : this.values[number - 1];
  }

  #isAt(record: number, text: string, start: number): boolean {
    const { bytes, words } = this;
    const length = words[record + lengthAt] as number;
    if (text.length - start !== length) return false;
    const from = (record + headWords) * 4;
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

function recordWords(length: number): number {
  return headWords + ((length + 3) >> 2);
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
