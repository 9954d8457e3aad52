/** Pure: random numbers that a seed gives again, whatever the machine. */
import { seeded } from "../../relay/seeded.testkit.ts";

export class Random {
  readonly #next: () => number;

  /** The first 32 bits of `seed` count. */
  constructor(seed: number) {
    this.#next = seeded(seed);
  }

  /** A whole number from 0 to `end` - 1. */
  below(end: number): number {
    return Math.floor(this.#next() * end);
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    const item = list[this.below(list.length)];
    if (item === undefined) throw new RangeError("nothing to pick from");
    return item;
  }
}

/** A seed made of bytes (FNV-1a): an input alone says how it is to be cut. */
export function seedOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
