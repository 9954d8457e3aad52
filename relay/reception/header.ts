/**
 * The few things that the relay reads and writes in a message's header section: pure. It looks at lines
 * and never parses MIME.
 */
import { headerBlock } from "../delivery/header.ts";

const headerBytesMax = 1024 * 1024;

export type Trace = {
  /** Received lines in all. */
  readonly received: number;
  /** Those that this installation wrote. */
  readonly passes: number;
};

/** Counts Received lines (RFC 5321 section 4.4) in all, and those that carry our own `mark`. */
export function traceOf(body: Uint8Array, mark: string): Trace {
  const headers = Buffer.from(headerBlock(body, headerBytesMax)).toString("latin1");
  let received = 0;
  let passes = 0;
  const line = /^received:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*/gim;
  for (const [text] of headers.matchAll(line)) {
    received += 1;
    if (text.includes(mark)) passes += 1;
  }
  return { received, passes };
}

export type ReceivedLine = {
  /** Undefined: where it came from is not said. */
  readonly from: { readonly helo: string; readonly address: string } | undefined;
  readonly hostname: string;
  /** What marks our own lines, "(Mailroute NAME)". */
  readonly mark: string;
  /** SMTP, ESMTP, ESMTPS, UTF8SMTP ... (RFC 3848, RFC 6531). */
  readonly protocol: string;
  readonly id: string;
  /** Only where there is one recipient. */
  readonly recipient: string | undefined;
  readonly at: Date;
};

/** A Received line (RFC 5321 section 4.4), folded, with its CRLF. */
export function receivedLine(line: ReceivedLine): string {
  const recipient = line.recipient === undefined ? "" : `\r\n\tfor <${line.recipient}>`;
  return (
    `Received: ${fromClause(line.from)}by ${line.hostname} ${line.mark}` +
    `\r\n\twith ${line.protocol} id ${line.id}${recipient};\r\n\t${dateTime(line.at)}\r\n`
  );
}

function fromClause(from: ReceivedLine["from"]): string {
  if (from === undefined) return "";
  const address = from.address.includes(":") ? `IPv6:${from.address}` : from.address;
  const helo = from.helo.replace(/[^\x21-\x7e]|[()<>\\"]/g, "?").slice(0, 255) || "unknown";
  return `from ${helo} ([${address}])\r\n\t`;
}

/** RFC 5322 section 3.3, in UTC. */
export function dateTime(at: Date): string {
  return at.toUTCString().replace("GMT", "+0000");
}

/** Bare CR and bare LF become CRLF, NUL goes; the rest is untouched. For trusted clients only. */
export function normaliseLines(body: Buffer): Buffer {
  const made = Buffer.allocUnsafe(normalisedBytes(body));
  let to = 0;
  for (let at = 0; at < body.length; at += 1) {
    const octet = body[at] as number;
    if (octet !== CR && octet !== LF) {
      if (octet !== 0) made[to++] = octet;
      continue;
    }
    if (octet === CR && body[at + 1] === LF) at += 1;
    made[to++] = CR;
    made[to++] = LF;
  }
  return made.subarray(0, to);
}

const CR = 13;
const LF = 10;

/** At most: a NUL between CR and LF makes them two ends, as each of them is one. */
function normalisedBytes(body: Buffer): number {
  let bytes = body.length;
  for (const octet of body) if (octet === CR || octet === LF) bytes += 1;
  return bytes;
}
