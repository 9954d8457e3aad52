/**
 * One line for everybody, in which each party has one place at a time: whoever brings a million things waits for
 * himself. Pure state; within a party it is first in, first out.
 */
import { Fifo } from "./fifo.ts";

export class FairLine<T extends NonNullable<unknown>> {
  /** In the order in which they are served: who has been goes behind the others. */
  readonly #parties = new Map<string, Fifo<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(party: string, item: T): void {
    let items = this.#parties.get(party);
    if (items === undefined) {
      items = new Fifo();
      this.#parties.set(party, items);
    }
    items.push(item);
    this.#size += 1;
  }

  /** Undefined where nobody waits. */
  shift(): T | undefined {
    for (const [party, items] of this.#parties) {
      const item = items.shift();
      this.#size -= 1;
      // A party alone keeps its place: the map need not change for each of its things.
      if (items.size > 0 && this.#parties.size === 1) return item;
      this.#parties.delete(party);
      if (items.size > 0) this.#parties.set(party, items);
      return item;
    }
    return undefined;
  }
}
