/** First in, first out, without moving what waits at every step: an array, and where it begins. Pure state. */

/** Items that have gone and may still be held. */
const slack = 1024;

export class Fifo<T extends NonNullable<unknown>> {
  readonly #items: T[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Undefined where nothing waits. */
  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (item === undefined) return undefined;
    this.#head += 1;
    // What has gone is cut off once it is at least half: moving the rest then costs no more than it saves.
    if (this.#head === this.#items.length || (this.#head > slack && this.size <= this.#head)) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }
}
