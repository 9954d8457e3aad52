/** The header block of a message, for reports. Pure. */

const blankLine = Buffer.from("\r\n\r\n", "latin1");
const crlf = Buffer.from("\r\n", "latin1");

/**
 * The header lines with their last CRLF, without the blank line; cut at a whole line where they have
 * more than `bytesMax` bytes.
 */
export function headerBlock(message: Uint8Array, bytesMax: number): Uint8Array {
  const source = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  if (source.subarray(0, 2).equals(crlf)) return source.subarray(0, 0);
  const blank = source.indexOf(blankLine);
  const end = blank === -1 ? source.length : blank + 2;
  if (end <= bytesMax) return source.subarray(0, end);
  const lastLine = source.lastIndexOf(crlf, Math.max(0, bytesMax - 2));
  return source.subarray(0, lastLine === -1 ? 0 : lastLine + 2);
}
