/**
 * So many events of each key within a time: pure state, one number a key (the generic cell rate algorithm of
 * ITU-T I.371: when the next event would be due if they came evenly). Nothing is queued; who is early is told
 * when to come again.
 */
export type RateOptions = {
  readonly windowMs: number;
  /** Beyond it one goes of those with least on their account. Who has nothing there goes by and by, a few at each event. */
  readonly keysMax: number;
};

/** For each key that may come one must be able to go, and a few more, so that the map becomes smaller again. */
const looksMax = 4;

export class Rates {
  readonly #options: RateOptions;
  readonly #dueMs = new Map<string, number>();
  /** Goes round the keys, also those that come meanwhile. */
  #hand = this.#dueMs.entries();

  constructor(options: RateOptions) {
    this.#options = options;
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#dueMs.size;
  }

  /**
   * 0: counted. Else in how many ms there is room for one more; it was not counted. Of a `max` below 1 one is let
   * through in so many windows as make it 1.
   */
  take(key: string, max: number, nowMs: number): number {
    const { windowMs } = this.#options;
    const eachMs = windowMs / max;
    const dueMs = Math.max(this.#dueMs.get(key) ?? 0, nowMs) + eachMs;
    const earlyMs = dueMs - nowMs - Math.max(windowMs, eachMs);
    // Of a thousand sums of a thousandth: not refused for what floating point adds.
    if (earlyMs > 1e-6 * windowMs) return Math.ceil(earlyMs);
    this.#dueMs.delete(key);
    this.#sweep(nowMs);
    this.#dueMs.set(key, dueMs);
    return 0;
  }

  /**
   * Looks at a few keys, whose turn it is, and never at all of them: a full map costs no take more than others.
   * The hand stays where it is: a look for the first key would go over all that are gone.
   */
  #sweep(nowMs: number): void {
    let least: readonly [key: string, dueMs: number] | undefined;
    for (let looked = 0; looked < looksMax; looked += 1) {
      const next = this.#next();
      if (next === undefined) break;
      const [key, dueMs] = next;
      if (dueMs <= nowMs) this.#dueMs.delete(key);
      else if (least === undefined || dueMs < least[1]) least = next;
    }
    if (this.#dueMs.size >= this.#options.keysMax && least !== undefined)
      this.#dueMs.delete(least[0]);
  }

  #next(): [key: string, dueMs: number] | undefined {
    const next = this.#hand.next();
    if (next.done !== true) return next.value;
    this.#hand = this.#dueMs.entries();
    return this.#hand.next().value;
  }
}
