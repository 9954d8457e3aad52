/**
 * Pure: the bytes of a message in arrival, kept up to a limit, and what is wrong with them. Must never keep a
 * small slice per piece that comes in, and never bytes over its limit. How a message is framed is not
 * known here.
 */
import { BodyFaults } from "./body-faults.ts";
import type { Body } from "./reception.ts";

/** Slices are kept as they are up to this many; then small ones are gathered into blocks. */
const SLICES_PLAIN_MAX = 16;
const SMALL_BYTES = 512;
const BLOCK_BYTES = 8192;

export class KeptBody {
  /** Bytes of body so far, kept or not. */
  bytes = 0;
  /** Bytes are no longer kept: the body grew over the limit, or `drop` was called. */
  dropped = false;
  readonly #bytesMax: number;
  readonly #faults = new BodyFaults();
  #chunks: Buffer[] = [];
  #block: Buffer | undefined;
  #blockFrom = 0;
  #blockUsed = 0;

  constructor(options: { readonly bytesMax: number }) {
    this.#bytesMax = options.bytesMax;
  }

  get oversized(): boolean {
    return this.bytes > this.#bytesMax;
  }

  /** The next bytes of the body, which nobody may change from now on. */
  keep(slice: Buffer): void {
    if (slice.length === 0) return;
    this.#faults.add(slice);
    this.bytes += slice.length;
    if (this.oversized && !this.dropped) this.drop();
    if (this.dropped) return;
    if (slice.length < SMALL_BYTES && this.#chunks.length >= SLICES_PLAIN_MAX) {
      this.#gather(slice);
      return;
    }
    this.#sealBlock();
    this.#chunks.push(slice);
  }

  /** Forgets the bytes kept so far and keeps no more; they are still counted. */
  drop(): void {
    this.dropped = true;
    this.#chunks = [];
    this.#block = undefined;
  }

  /** The body is over. */
  end(): void {
    this.#sealBlock();
    this.#faults.end();
  }

  /** The whole message, after `end`. */
  body(): Body {
    const { bareCr, bareLf, nul, longestLine } = this.#faults;
    return {
      chunks: this.#chunks,
      bytes: this.bytes,
      faults: { bareCr, bareLf, nul, longestLine },
    };
  }

  /** Copies a small slice into the current block: a client that sends single bytes costs no more. */
  #gather(slice: Buffer): void {
    if (this.#block === undefined || this.#block.length - this.#blockUsed < slice.length) {
      this.#sealBlock();
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#blockFrom = 0;
      this.#blockUsed = 0;
    }
    this.#blockUsed += slice.copy(this.#block, this.#blockUsed);
  }

  #sealBlock(): void {
    if (this.#block === undefined || this.#blockUsed === this.#blockFrom) return;
    this.#chunks.push(this.#block.subarray(this.#blockFrom, this.#blockUsed));
    this.#blockFrom = this.#blockUsed;
  }
}
