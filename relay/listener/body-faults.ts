/**
 * Pure: counts what RFC 5321 section 2.3.8 forbids in a message body (bare CR, bare LF), NULs, and
 * the longest line, whatever the pieces that the body comes in. The cost must stay that of native
 * searches on ordinary mail and bounded on floods of short lines.
 */

const NUL = 0;
const LF = 10;
const CR = 13;

/** A native call costs as much as looking at some ten bytes here: look that far before calling. */
const NEAR_BYTES = 8;

export class BodyFaults {
  bareCr = 0;
  bareLf = 0;
  nul = 0;
  longestLine = 0;
  /** The last byte was a CR whose successor is not known yet. */
  #afterCr = false;
  /** Octets since the last LF. */
  #lineBytes = 0;

  /** Takes the next piece of the body; empty pieces change nothing. */
  add(piece: Buffer): void {
    if (piece.length === 0) return;
    const afterCr = this.#afterCr;
    this.#countLines(piece, afterCr);
    this.#countCr(piece, afterCr);
    for (let at = find(piece, NUL, 0); at >= 0; at = find(piece, NUL, at + 1)) this.nul += 1;
  }

  /** The body is over: settles what was still open. */
  end(): void {
    if (this.#afterCr) this.bareCr += 1;
    this.#afterCr = false;
    this.longestLine = Math.max(this.longestLine, this.#lineBytes);
  }

  #countLines(piece: Buffer, afterCr: boolean): void {
    let start = 0;
    let carried = this.#lineBytes;
    for (let at = find(piece, LF, 0); at >= 0; at = find(piece, LF, at + 1)) {
      const crBefore = at > 0 ? piece[at - 1] === CR : afterCr;
      if (!crBefore) this.bareLf += 1;
      const octets = carried + at - start - (crBefore ? 1 : 0);
      if (octets > this.longestLine) this.longestLine = octets;
      start = at + 1;
      carried = 0;
    }
    this.#lineBytes = carried + piece.length - start;
  }

  #countCr(piece: Buffer, afterCr: boolean): void {
    if (afterCr && piece[0] !== LF) this.bareCr += 1;
    const last = piece.length - 1;
    for (let at = find(piece, CR, 0); at >= 0; at = find(piece, CR, at + 1)) {
      if (at < last && piece[at + 1] !== LF) this.bareCr += 1;
    }
    this.#afterCr = piece[last] === CR;
  }
}

function find(piece: Buffer, byte: number, from: number): number {
  const near = Math.min(from + NEAR_BYTES, piece.length);
  for (let at = from; at < near; at += 1) if (piece[at] === byte) return at;
  return near < piece.length ? piece.indexOf(byte, near) : -1;
}
