/**
 * The queue's messages by id, in the order in which they came. Pure state. That is the order of arrival, but for those
 * that another relay had first: they are remembered, so that the oldest is found without a walk through all.
 */
import type { Entry } from "./entry.ts";

export class Entries {
  readonly #byId = new Map<string, Entry>();
  /** Ids of those that came after younger ones. */
  readonly #late = new Set<string>();
  #youngestMs = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#byId.size;
  }

  add(entry: Entry): void {
    const { id, arrivedAtMs } = entry.envelope;
    this.#byId.set(id, entry);
    if (arrivedAtMs < this.#youngestMs) this.#late.add(id);
    else this.#youngestMs = arrivedAtMs;
  }

  get(id: string): Entry | undefined {
    return this.#byId.get(id);
  }

  delete(id: string): void {
    this.#byId.delete(id);
    this.#late.delete(id);
  }

  values(): IterableIterator<Entry> {
    return this.#byId.values();
  }

  /** Arrival of the oldest message, epoch ms; undefined when there is none. */
  get oldestMs(): number | undefined {
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const { envelope } of this.#byId.values()) {
      oldestMs = Math.min(oldestMs, envelope.arrivedAtMs);
      if (!this.#late.has(envelope.id)) break;
    }
    for (const id of this.#late) {
      oldestMs = Math.min(oldestMs, this.#byId.get(id)?.envelope.arrivedAtMs ?? oldestMs);
    }
    return oldestMs === Number.POSITIVE_INFINITY ? undefined : oldestMs;
  }
}
