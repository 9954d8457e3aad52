/**
 * What is due when: a binary heap of ids by time, with one timer for the earliest. Loop: it owns the
 * timer and nothing else. An id stands in it once; setting it again moves it.
 */
export type Clock = {
  now(): number;
  /** Calls back once after `ms`, and returns what cancels it. */
  wait(ms: number, callback: () => void): () => void;
};

type Item = {
  readonly id: string;
  atMs: number;
  /** In the heap: so it is found when it is moved, and nothing stays of what was. */
  place: number;
};

/** setTimeout overflows beyond this; it also bounds how late a jump of the clock can make us, either way. */
const waitMsMax = 60_000;
/** A clock that goes back by less is only being set right. */
const setBackMsMin = 1000;
/** Of thousands that are due at the same time: others have their turn before the rest. */
const calledAtOnceMax = 20;

export class DueTimes {
  readonly #heap: Item[] = [];
  readonly #current = new Map<string, Item>();
  readonly #clock: Clock;
  readonly #due: (id: string) => void;
  #cancel: (() => void) | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  /** By the clock, when it was last looked at. */
  #seenMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(clock: Clock, due: (id: string) => void) {
    this.#clock = clock;
    this.#due = due;
  }

  get size(): number {
    return this.#current.size;
  }

  /** Calls `due(id)` at or after `atMs`; an earlier setting for the same id is forgotten. */
  set(id: string, atMs: number): void {
    if (this.#stopped) return;
    this.#look();
    let item = this.#current.get(id);
    if (item === undefined) {
      item = { id, atMs, place: this.#heap.length };
      this.#current.set(id, item);
    }
    item.atMs = atMs;
    settle(this.#heap, item);
    if (atMs < this.#wakeAtMs) this.#arm(atMs);
  }

  delete(id: string): void {
    const item = this.#current.get(id);
    if (item === undefined) return;
    this.#current.delete(id);
    const last = this.#heap.pop() as Item;
    if (last === item) return;
    last.place = item.place;
    settle(this.#heap, last);
  }

  /** For good: what is set afterwards never comes, and holds no process. */
  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    this.#heap.length = 0;
    this.#current.clear();
  }

  #arm(atMs: number): void {
    this.#cancel?.();
    this.#wakeAtMs = atMs;
    const ms = Math.min(Math.max(atMs - this.#clock.now(), 0), waitMsMax);
    this.#cancel = this.#clock.wait(ms, () => this.#fire());
  }

  #fire(): void {
    this.#cancel = undefined;
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    const now = this.#look();
    let left = calledAtOnceMax;
    for (
      let first = this.#heap[0];
      first !== undefined && first.atMs <= now && left > 0;
      first = this.#heap[0]
    ) {
      this.delete(first.id);
      this.#due(first.id);
      left -= 1;
    }
    const next = this.#heap[0];
    if (next !== undefined && next.atMs < this.#wakeAtMs) this.#arm(next.atMs);
  }

  /** The time. Where the clock was set back, all go on waiting as long as they would have: their order is the same. */
  #look(): number {
    const now = this.#clock.now();
    const backMs = this.#seenMs - now;
    if (backMs > setBackMsMin) {
      for (const item of this.#heap) item.atMs -= backMs;
      this.#wakeAtMs -= backMs;
    }
    this.#seenMs = now;
    return now;
  }
}

/** Moves an item from its place to where its time belongs. */
function settle(heap: Item[], item: Item): void {
  const from = item.place;
  while (item.place > 0) {
    const above = heap[(item.place - 1) >> 1] as Item;
    if (above.atMs <= item.atMs) break;
    swap(heap, item, above);
  }
  if (item.place === from) sink(heap, item);
  heap[item.place] = item;
}

function sink(heap: Item[], item: Item): void {
  for (;;) {
    const left = heap[2 * item.place + 1];
    if (left === undefined) return;
    const right = heap[2 * item.place + 2];
    const below = right !== undefined && right.atMs < left.atMs ? right : left;
    if (below.atMs >= item.atMs) return;
    swap(heap, item, below);
  }
}

/** `item` takes the other's place, and is written there when it stays. */
function swap(heap: Item[], item: Item, other: Item): void {
  const { place } = other;
  other.place = item.place;
  heap[item.place] = other;
  item.place = place;
}
