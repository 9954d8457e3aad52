/**
 * A message in arrival and its share of the listener's memory. Owns the scanner and the bytes taken
 * from the budget; whoever makes one calls `release` in the end. Knows no sockets and no replies.
 */
import { DataScanner } from "./data-scanner.ts";
import type { LimitName, ReceivingBytes } from "./limits.ts";
import type { Body } from "./reception.ts";

/** A message this many times over the limit is not read to its end. */
const OVERSIZE_FACTOR_MAX = 2;

/** What may be done with it: `runaway` is not even worth reading on. */
export type Verdict = "fits" | "oversized" | "runaway" | "starved";

export class IncomingMessage {
  readonly #scanner: DataScanner;
  readonly #budget: ReceivingBytes;
  readonly #bytesMax: number;
  readonly #network: string;
  #taken = 0;
  #starved: LimitName | undefined;

  constructor(options: {
    readonly bytesMax: number;
    readonly budget: ReceivingBytes;
    /** Whose share of the budget it takes. */
    readonly network: string;
  }) {
    this.#scanner = new DataScanner(options);
    this.#bytesMax = options.bytesMax;
    this.#budget = options.budget;
    this.#network = options.network;
  }

  /** Octets so far, of those thrown away too. */
  get bytes(): number {
    return this.#scanner.bytes;
  }

  /** The bound that it breaks, where it does not fit. */
  get excess(): LimitName {
    return this.#starved ?? "messageBytesMax";
  }

  get verdict(): Verdict {
    if (this.#scanner.bytes > this.#bytesMax * OVERSIZE_FACTOR_MAX) return "runaway";
    if (this.#scanner.oversized) return "oversized";
    return this.#starved === undefined ? "fits" : "starved";
  }

  /** As `DataScanner.feed`, with the bytes accounted for. */
  feed(chunk: Buffer, from: number): number {
    const rest = this.#scanner.feed(chunk, from);
    if (this.#scanner.dropped) {
      this.release();
      return rest;
    }
    const more = this.#scanner.bytes - this.#taken;
    const excess = this.#budget.take(this.#network, more);
    if (excess === undefined) {
      this.#taken += more;
    } else {
      this.#starved = excess;
      this.#scanner.drop();
      this.release();
    }
    return rest;
  }

  /** The whole message, once `feed` has found its end and it fits. */
  body(): Body {
    return this.#scanner.body();
  }

  /** Gives the bytes back to the budget; harmless when repeated. */
  release(): void {
    this.#budget.release(this.#network, this.#taken);
    this.#taken = 0;
  }
}
