/** Gathers changes before a build: it runs after 100 ms without another, after 1 s at most. Loop. */
export type HoldOffOptions = {
  readonly quietMs: number;
  readonly waitMsMax: number;
  readonly run: () => Promise<void>;
};

export class HoldOff {
  readonly #options: HoldOffOptions;
  #timer: NodeJS.Timeout | undefined;
  #firstMs = 0;
  #isRunning = false;
  #isDirty = false;
  #isStopped = false;

  constructor(options: HoldOffOptions) {
    this.#options = options;
  }

  /** Something changed. While a run is under way, another follows it. */
  touch(): void {
    if (this.#isStopped) return;
    if (this.#isRunning) {
      this.#isDirty = true;
      return;
    }
    const nowMs = performance.now();
    if (this.#timer === undefined) this.#firstMs = nowMs;
    clearTimeout(this.#timer);
    const { quietMs, waitMsMax } = this.#options;
    const waitMs = Math.max(Math.min(quietMs, this.#firstMs + waitMsMax - nowMs), 0);
    this.#timer = setTimeout(() => void this.#run(), waitMs);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    this.#timer = undefined;
    this.#isRunning = true;
    try {
      await this.#options.run();
    } finally {
      this.#isRunning = false;
      if (this.#isDirty) {
        this.#isDirty = false;
        this.touch();
      }
    }
  }
}
