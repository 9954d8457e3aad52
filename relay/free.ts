/**
 * Gives the memory of big pieces back at once, where the garbage collector would come for it later: adapter. V8 marks
 * its whole heap for every 30 MB or so of such memory, which costs more than all else that is done with big mail. What
 * came by TLS is parts of greater pieces, and waits for the collector.
 */

const bytesMin = 16_384;

/** Nobody may look at the pieces any more. One that is part of a greater piece of memory is left alone. */
export function free(pieces: readonly Uint8Array[]): void {
  for (const { buffer, length } of pieces) {
    if (length < bytesMin || length !== buffer.byteLength) continue;
    if (buffer instanceof ArrayBuffer) buffer.transfer(0);
  }
}
