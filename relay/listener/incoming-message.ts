/**
 * A message in arrival and its share of the listener's memory. Owns the bytes taken from the budget;
 * whoever makes one calls `release` in the end. Knows no sockets and no replies, and not how it is framed.
 */
import type { KeptBody } from "./kept-body.ts";
import type { LimitName, ReceivingBytes } from "./limits.ts";
import type { Body } from "./reception.ts";

/** A message this many times over the limit is not read to its end. */
const OVERSIZE_FACTOR_MAX = 2;

/** Takes the body out of the input: `DataScanner` or `ChunkReader`. */
export type BodyReader = {
  readonly kept: KeptBody;
  /** The offset of the first byte after the end, or -1 while it has not come. */
  feed(chunk: Buffer, from: number): number;
  body(): Body;
};

/** What may be done with it: `runaway` is not even worth reading on. */
export type Verdict = "fits" | "oversized" | "runaway" | "starved";

export class IncomingMessage {
  readonly #reader: BodyReader;
  readonly #budget: ReceivingBytes;
  readonly #bytesMax: number;
  readonly #network: string;
  #taken = 0;
  #starved: LimitName | undefined;

  constructor(options: {
    readonly reader: BodyReader;
    readonly bytesMax: number;
    readonly budget: ReceivingBytes;
    /** Whose share of the budget it takes. */
    readonly network: string;
  }) {
    this.#reader = options.reader;
    this.#bytesMax = options.bytesMax;
    this.#budget = options.budget;
    this.#network = options.network;
  }

  /** Octets so far, of those thrown away too. */
  get bytes(): number {
    return this.#reader.kept.bytes;
  }

  /** The bound that it breaks, where it does not fit. */
  get excess(): LimitName {
    return this.#starved ?? "messageBytesMax";
  }

  get verdict(): Verdict {
    const { kept } = this.#reader;
    if (kept.bytes > this.#bytesMax * OVERSIZE_FACTOR_MAX) return "runaway";
    if (kept.oversized) return "oversized";
    return this.#starved === undefined ? "fits" : "starved";
  }

  /** As `BodyReader.feed`, with the bytes accounted for. */
  feed(chunk: Buffer, from: number): number {
    const { kept } = this.#reader;
    const rest = this.#reader.feed(chunk, from);
    if (kept.dropped) {
      this.release();
      return rest;
    }
    const more = kept.bytes - this.#taken;
    const excess = this.#budget.take(this.#network, more);
    if (excess === undefined) {
      this.#taken += more;
    } else {
      this.#starved = excess;
      kept.drop();
      this.release();
    }
    return rest;
  }

  /** The whole message, once its end has come and it fits; call once. */
  body(): Body {
    return this.#reader.body();
  }

  /** Gives the bytes back to the budget; harmless when repeated. */
  release(): void {
    this.#budget.release(this.#network, this.#taken);
    this.#taken = 0;
  }
}
