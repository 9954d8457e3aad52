/**
 * Pure: finds the end of DATA, which is CRLF.CRLF and nothing else (RFC 5321 section 4.1.1.4), and
 * takes the stuffed dots out (section 4.5.2), whatever the chunks. Must never look at every byte in
 * JavaScript, nor keep a small slice per stuffed dot.
 */
import { KeptBody } from "./kept-body.ts";
import type { Body } from "./reception.ts";

const CR = 13;
const LF = 10;
const DOT = 46;
const LINE_DOT = Buffer.from("\r\n.");
const LONE_CR = Buffer.from("\r");

/** How much of CRLF.CRLF the bytes so far end with. The start of DATA counts as after a CRLF. */
type Seen = "none" | "cr" | "crlf" | "dot" | "dotCr";

export class DataScanner {
  readonly kept: KeptBody;
  #seen: Seen = "crlf";

  constructor(options: { readonly bytesMax: number }) {
    this.kept = new KeptBody(options);
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
        this.kept.keep(chunk.subarray(start, write));
        return this.#finish(at + 2);
      }
    }
    this.kept.keep(chunk.subarray(start, write));
    return -1;
  }

  /** The whole message, after `feed` has found the end. */
  body(): Body {
    return this.kept.body();
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
        this.kept.keep(chunk.subarray(at - 1, at));
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
        if (this.#seen === "dotCr") this.kept.keep(LONE_CR);
        this.#seen = "none";
      }
    }
    return at;
  }

  #finish(rest: number): number {
    this.kept.end();
    return rest;
  }
}

/** What a stretch of plain body that starts at `from` ends with. */
function tailOf(chunk: Buffer, from: number): Seen {
  const last = chunk.length - 1;
  if (last < from) return "none";
  if (chunk[last] === CR) return "cr";
  return chunk[last] === LF && last > from && chunk[last - 1] === CR ? "crlf" : "none";
}
