/**
 * The message as DATA carries it: lines that begin with a dot get a second one, and a lone dot ends
 * it (RFC 5321 section 4.5.2). Not one other byte is changed. Pure.
 */

const crlfDot = Buffer.from("\r\n.", "latin1");
const terminator = Buffer.from(".\r\n", "latin1");
const missingEndTerminator = Buffer.from("\r\n.\r\n", "latin1");
const copyBytesMax = 65_536;
const dot = 0x2e;

/** Chunks to write one after the other, the terminating dot included. `body` ends with CRLF. */
export function stuff(body: Uint8Array): readonly Uint8Array[] {
  const source = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const end = endsWithCrlf(source) || source.length === 0 ? terminator : missingEndTerminator;
  const dots = findDots(source);
  if (dots.length === 0 && source.length > copyBytesMax) return [source, end];
  const wire = Buffer.allocUnsafe(source.length + dots.length + end.length);
  let read = 0;
  let written = 0;
  for (const at of dots) {
    written += source.copy(wire, written, read, at);
    wire[written++] = dot;
    read = at;
  }
  written += source.copy(wire, written, read);
  end.copy(wire, written);
  return [wire];
}

/** Where the dots are that begin a line. */
function findDots(source: Buffer): number[] {
  const dots: number[] = [];
  if (source[0] === dot) dots.push(0);
  for (let at = source.indexOf(crlfDot); at !== -1; at = source.indexOf(crlfDot, at + 3)) {
    dots.push(at + 2);
  }
  return dots;
}

function endsWithCrlf(source: Buffer): boolean {
  return source.at(-2) === 0x0d && source.at(-1) === 0x0a;
}
