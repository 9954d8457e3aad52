/**
 * What is due when: a binary heap of ids by time, with one timer for the earliest. Loop: it owns the
 * timer and nothing else. An id stands in it once; setting it again moves it.
 */
export type Clock = {
  now(): number;
  /** Calls back once after `ms`, and returns what cancels it. */
  wait(ms: number, callback: () => void): () => void;
};

type Item = { readonly id: string; readonly atMs: number };

/** setTimeout overflows beyond this; it also bounds how late a jump of the clock can make us. */
const waitMsMax = 60_000;
/** Of thousands that are due at the same time: others have their turn before the rest. */
const calledAtOnceMax = 20;

export class DueTimes {
  readonly #heap: Item[] = [];
  readonly #current = new Map<string, Item>();
  readonly #clock: Clock;
  readonly #due: (id: string) => void;
  #cancel: (() => void) | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;
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
    const item = { id, atMs };
    this.#current.set(id, item);
    push(this.#heap, item);
    if (atMs < this.#wakeAtMs) this.#arm(atMs);
  }

  delete(id: string): void {
    this.#current.delete(id); // its item stays in the heap and is passed over
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
    const now = this.#clock.now();
    let left = calledAtOnceMax;
    for (
      let first = this.#heap[0];
      first !== undefined && first.atMs <= now && left > 0;
      first = this.#heap[0]
    ) {
      pop(this.#heap);
      if (this.#current.get(first.id) !== first) continue;
      this.#current.delete(first.id);
      this.#due(first.id);
      left -= 1;
    }
    const next = this.#heap[0];
    if (next !== undefined && next.atMs < this.#wakeAtMs) this.#arm(next.atMs);
  }
}

function push(heap: Item[], item: Item): void {
  let index = heap.length;
  heap.push(item);
  while (index > 0) {
    const parent = (index - 1) >> 1;
    const above = heap[parent] as Item;
    if (above.atMs <= item.atMs) break;
    heap[index] = above;
    index = parent;
  }
  heap[index] = item;
}

function pop(heap: Item[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let index = 0;
  for (;;) {
    const left = 2 * index + 1;
    if (left >= heap.length) break;
    const right = left + 1;
    const child =
      right < heap.length && (heap[right] as Item).atMs < (heap[left] as Item).atMs ? right : left;
    const below = heap[child] as Item;
    if (below.atMs >= last.atMs) break;
    heap[index] = below;
    index = child;
  }
  heap[index] = last;
}
