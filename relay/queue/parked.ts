/**
 * Messages that wait because another found nobody at their destination, to be woken when it lives again. Pure state:
 * ids by destination; each entry knows under which it stands, so that one that goes is forgotten here.
 */
import type { Entry } from "./entry.ts";

type Place = { readonly keys: readonly string[]; readonly ids: Set<string> };

export class Parked {
  readonly #places = new Map<string, Place>();

  add(key: string, entry: Entry): void {
    let place = this.#places.get(key);
    if (place === undefined) {
      place = { keys: [key], ids: new Set() };
      this.#places.set(key, place);
    }
    place.ids.add(entry.envelope.id);
    if (entry.parkedUnder.includes(key)) return;
    // Mostly there is one: all who wait there share the list.
    entry.parkedUnder = entry.parkedUnder.length === 0 ? place.keys : [...entry.parkedUnder, key];
  }

  /** Those under `key`, who stand there no more. */
  take(key: string): ReadonlySet<string> | undefined {
    const place = this.#places.get(key);
    this.#places.delete(key);
    return place?.ids;
  }

  forget({ envelope, parkedUnder }: Entry): void {
    for (const key of parkedUnder) {
      const place = this.#places.get(key);
      place?.ids.delete(envelope.id);
      if (place?.ids.size === 0) this.#places.delete(key);
    }
  }
}
