/**
 * So many jobs at once, the others in line by network, one of each network in turn: whoever hammers waits for
 * himself. Loop over promises; it knows nothing of what the jobs are.
 */
export class Turns {
  readonly #atOnceMax: number;
  readonly #waitingMax: number;
  readonly #waitingPerNetworkMax: number;
  readonly #lines = new Map<string, (() => void)[]>();
  #running = 0;
  #waiting = 0;

  constructor(limits: {
    readonly atOnceMax: number;
    readonly waitingMax: number;
    readonly waitingPerNetworkMax: number;
  }) {
    this.#atOnceMax = limits.atOnceMax;
    this.#waitingMax = limits.waitingMax;
    this.#waitingPerNetworkMax = limits.waitingPerNetworkMax;
  }

  /** Undefined where the line is full. */
  async take<T>(network: string, job: () => Promise<T>): Promise<T | undefined> {
    if (this.#running >= this.#atOnceMax && !(await this.#wait(network))) return undefined;
    this.#running += 1;
    try {
      return await job();
    } finally {
      this.#running -= 1;
      this.#next();
    }
  }

  async #wait(network: string): Promise<boolean> {
    const line = this.#lines.get(network) ?? [];
    if (this.#waiting >= this.#waitingMax || line.length >= this.#waitingPerNetworkMax)
      return false;
    this.#lines.set(network, line);
    this.#waiting += 1;
    await new Promise<void>((resolve) => line.push(resolve));
    return true;
  }

  #next(): void {
    for (const [network, line] of this.#lines) {
      this.#lines.delete(network);
      const begin = line.shift();
      // Behind the others: the map keeps the order in which networks are served.
      if (line.length > 0) this.#lines.set(network, line);
      if (begin === undefined) continue;
      this.#waiting -= 1;
      begin();
      return;
    }
  }
}
