/**
 * Pure: finds the end of DATA, which is CRLF.CRLF and nothing else (RFC 5321 section 4.1.1.4), and
 * takes the stuffed dots out (section 4.5.2), whatever the chunks. Must never look at every byte in
 * JavaScript, never keep a small slice per stuffed dot, and never keep bytes over its limit.
 */
import { BodyFaults } from "./body-faults.ts";
import type { Body } from "./reception.ts";

const CR = 13;
const LF = 10;
const DOT = 46;
const LINE_DOT = Buffer.from("\r\n.");
const LONE_CR = Buffer.from("\r");

/** How much of CRLF.CRLF the bytes so far end with. The start of DATA counts as after a CRLF. */
type Seen = "none" | "cr" | "crlf" | "dot" | "dotCr";

/** Slices are kept as they are up to this many; then small ones are gathered into blocks. */
const SLICES_PLAIN_MAX = 16;
const SMALL_BYTES = 512;
const BLOCK_BYTES = 8192;

export class DataScanner {
  /** Bytes of body so far, kept or not. */
  bytes = 0;
  /** Bytes are no longer kept: the body grew over the limit, or `drop` was called. */
  dropped = false;
  readonly #bytesMax: number;
  readonly #faults = new BodyFaults();
  #chunks: Buffer[] = [];
  #seen: Seen = "crlf";
  #block: Buffer | undefined;
  #blockFrom = 0;
  #blockUsed = 0;

  constructor(options: { readonly bytesMax: number }) {
    this.#bytesMax = options.bytesMax;
  }

  get oversized(): boolean {
    return this.bytes > this.#bytesMax;
  }

  /**
   * Takes the next chunk from offset `from`. Returns the offset of the first byte after the end of
   * DATA, or -1 while the message goes on. The chunk belongs to the scanner afterwards (its body
   * part may be moved in place); the bytes after the end are left as they are.
   */
  feed(chunk: Buffer, from: number): number {
    let at = this.#resume(chunk, from);
    if (at < 0) return this.#finish(-at);
    if (at === chunk.length) return -1;

    const start = at;
    let write = at;
    for (;;) {
      const found = chunk.indexOf(LINE_DOT, at);
      const segmentEnd = found < 0 ? chunk.length : found + 2;
      // Looked at before the move below overwrites it.
      if (found < 0) this.#seen = tailOf(chunk, at);
      if (write !== at) chunk.copyWithin(write, at, segmentEnd);
      write += segmentEnd - at;
      if (found < 0) break;
      at = found + 3;
      const rest = chunk.length - at;
      if (rest === 0 || (rest === 1 && chunk[at] === CR)) {
        this.#seen = rest === 0 ? "dot" : "dotCr";
        break;
      }
      if (chunk[at] === CR && chunk[at + 1] === LF) {
        this.#keep(chunk.subarray(start, write));
        return this.#finish(at + 2);
      }
    }
    this.#keep(chunk.subarray(start, write));
    return -1;
  }

  /** Forgets the bytes kept so far and keeps no more; the end is still found. */
  drop(): void {
    this.dropped = true;
    this.#chunks = [];
    this.#block = undefined;
  }

  /** The whole message; call once, after `feed` has found the end. */
  body(): Body {
    const { bareCr, bareLf, nul, longestLine } = this.#faults;
    return {
      chunks: this.#chunks,
      bytes: this.bytes,
      faults: { bareCr, bareLf, nul, longestLine },
    };
  }

  /**
   * Settles a sequence that the last chunk broke off. Returns the offset where plain scanning goes
   * on, or minus the offset after the end of DATA.
   */
  #resume(chunk: Buffer, from: number): number {
    let at = from;
    while (this.#seen !== "none" && at < chunk.length) {
      const byte = chunk[at];
      if (this.#seen === "cr" && byte === LF) {
        this.#seen = "crlf";
        at += 1;
        this.#keep(chunk.subarray(at - 1, at));
      } else if (this.#seen === "crlf" && byte === DOT) {
        this.#seen = "dot";
        at += 1;
      } else if (this.#seen === "dot" && byte === CR) {
        this.#seen = "dotCr";
        at += 1;
      } else if (this.#seen === "dotCr" && byte === LF) {
        return -(at + 1);
      } else {
        // A held CR after the dot was content; if it began a CRLF, the branch above took it.
        if (this.#seen === "dotCr") this.#keep(LONE_CR);
        this.#seen = "none";
      }
    }
    return at;
  }

  #finish(rest: number): number {
    this.#sealBlock();
    this.#faults.end();
    return rest;
  }

  #keep(slice: Buffer): void {
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

/** What a stretch of plain body that starts at `from` ends with. */
function tailOf(chunk: Buffer, from: number): Seen {
  const last = chunk.length - 1;
  if (last < from) return "none";
  if (chunk[last] === CR) return "cr";
  return chunk[last] === LF && last > from && chunk[last - 1] === CR ? "crlf" : "none";
}
