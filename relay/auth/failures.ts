/**
 * Wrong credentials by client network: pure. A right password is never refused for what others did: failures
 * only make the answers to wrong ones slower, twice as slow each time, and are forgotten by and by.
 */
type Count = { failures: number; lastMs: number };

const delayMsMin = 100;
/** A hundred guessing connections of one network then cost a fifth of a processor's time. */
const delayMsMax = 20_000;
/** Half of the failures are forgotten after it. */
const halfLifeMs = 60_000;
const networksMax = 10_000;

export class Failures {
  readonly #counts = new Map<string, Count>();

  /** How long the answer to this failure is to wait, in ms. */
  add(network: string, nowMs: number): number {
    const failures = this.count(network, nowMs) + 1;
    this.#counts.delete(network);
    const [oldest] = this.#counts.keys();
    if (this.#counts.size >= networksMax && oldest !== undefined) this.#counts.delete(oldest);
    this.#counts.set(network, { failures, lastMs: nowMs });
    return Math.min(delayMsMin * 2 ** Math.min(failures - 1, 20), delayMsMax);
  }

  count(network: string, nowMs: number): number {
    const known = this.#counts.get(network);
    if (known === undefined) return 0;
    return Math.floor(known.failures / 2 ** ((nowMs - known.lastMs) / halfLifeMs));
  }
}
