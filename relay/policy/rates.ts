/**
 * So many events of each key within a time: pure state, one number a key (the generic cell rate algorithm of
 * ITU-T I.371: when the next event would be due if they came evenly). Nothing is queued; who is early is told
 * when to come again.
 */
export type RateOptions = {
  readonly windowMs: number;
  /** Beyond it the keys that have been quiet for a window are forgotten, and then the oldest. */
  readonly keysMax: number;
};

export class Rates {
  readonly #options: RateOptions;
  readonly #dueMs = new Map<string, number>();

  constructor(options: RateOptions) {
    this.#options = options;
  }

  /** 0: counted. Else in how many ms there is room for one more; it was not counted. */
  take(key: string, max: number, nowMs: number): number {
    const { windowMs, keysMax } = this.#options;
    const dueMs = Math.max(this.#dueMs.get(key) ?? 0, nowMs) + windowMs / max;
    const earlyMs = dueMs - nowMs - windowMs;
    // Of a thousand sums of a thousandth: not refused for what floating point adds.
    if (earlyMs > 1e-6 * windowMs) return Math.ceil(earlyMs);
    this.#dueMs.delete(key);
    if (this.#dueMs.size >= keysMax) this.#forget(nowMs);
    this.#dueMs.set(key, dueMs);
    return 0;
  }

  #forget(nowMs: number): void {
    for (const [key, dueMs] of this.#dueMs) if (dueMs <= nowMs) this.#dueMs.delete(key);
    const [oldest] = this.#dueMs.keys();
    if (this.#dueMs.size >= this.#options.keysMax && oldest !== undefined)
      this.#dueMs.delete(oldest);
  }
}
