/**
 * Counts what RFC 5321 section 2.3.8 forbids in a message body (bare CR, bare LF), NULs, and the longest line (below
 * 2 GiB), whatever the pieces that the body comes in. Ordinary mail is gone over by plain-lines.ts, some 0.15 ms for a
 * MiB; what that stops at is looked at here, octet by octet, some 6 ns each.
 */
import { loadPlainLines, type PlainLines, partBytesMax } from "./plain-lines.ts";

const NUL = 0;
const LF = 10;
const CR = 13;

/** A call costs some 60 ns: after a stop, so many octets are looked at here first. */
const lookedAtBytes = 16;
const shared = loadPlainLines();

export class BodyFaults {
  bareCr = 0;
  bareLf = 0;
  nul = 0;
  longestLine = 0;
  /** The last octet was a CR whose successor is not known yet. */
  #afterCr = false;
  /** Octets of the body so far, and where its last line begins. */
  #bytes = 0;
  #lineStart = 0;
  readonly #plainLines: PlainLines;

  constructor(plainLines: PlainLines = shared) {
    this.#plainLines = plainLines;
  }

  /** Takes the next piece of the body; empty pieces change nothing. */
  add(piece: Uint8Array): void {
    for (let from = 0; from < piece.length; from += partBytesMax)
      this.#addPart(piece.subarray(from, from + partBytesMax));
  }

  /** The body is over: settles what was still open. */
  end(): void {
    if (this.#afterCr) this.bareCr += 1;
    this.#afterCr = false;
    this.#lineEnds(this.#bytes);
  }

  #addPart(part: Uint8Array): void {
    const { length } = part;
    this.#plainLines.load(part);
    for (let at = 0; at < length; ) {
      if (!this.#afterCr) at = this.#skipPlain(at, length);
      const to = Math.min(at + lookedAtBytes, length);
      this.#look(part, at, to);
      at = to;
    }
    this.#bytes += length;
  }

  #skipPlain(from: number, to: number): number {
    const seen = { lineStart: this.#lineStart - this.#bytes, longest: this.longestLine };
    const at = this.#plainLines.skip(from, to, seen);
    this.#lineStart = this.#bytes + seen.lineStart;
    this.longestLine = seen.longest;
    return at;
  }

  #look(part: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to; at += 1) {
      const octet = part[at];
      if (octet === LF) {
        if (!this.#afterCr) this.bareLf += 1;
        this.#lineEnds(this.#bytes + at - (this.#afterCr ? 1 : 0));
        this.#lineStart = this.#bytes + at + 1;
      } else if (this.#afterCr) this.bareCr += 1;
      if (octet === NUL) this.nul += 1;
      this.#afterCr = octet === CR;
    }
  }

  #lineEnds(at: number): void {
    this.longestLine = Math.max(this.longestLine, at - this.#lineStart);
  }
}
