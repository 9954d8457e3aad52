/**
 * Long walks, cut into slices of a few milliseconds: whoever walks asks after each step whether it is time to let the
 * others have their turn. Loop: it owns the clock of one walk, and nothing else.
 */
import { setImmediate as turn } from "node:timers/promises";

export type SlicesOptions = {
  /** How long others wait at most, but for one step. */
  readonly msMax?: number;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
  /** Resolves when everybody else has had a turn. */
  readonly turn?: () => Promise<unknown>;
};

const msMaxDefault = 5;

export class Slices {
  readonly #msMax: number;
  readonly #now: () => number;
  readonly #turn: () => Promise<unknown>;
  #beganMs: number;

  constructor(options: SlicesOptions = {}) {
    const { msMax = msMaxDefault, now = () => performance.now(), turn: given = turn } = options;
    this.#msMax = msMax;
    this.#now = now;
    this.#turn = given;
    this.#beganMs = now();
  }

  /** Ask it after each step, and `await next()` where it is so: a promise for each step would cost more than most. */
  get isOver(): boolean {
    return this.#now() - this.#beganMs >= this.#msMax;
  }

  async next(): Promise<void> {
    await this.#turn();
    this.#beganMs = this.#now();
  }
}
