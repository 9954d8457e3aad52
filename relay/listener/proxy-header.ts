/**
 * Pure: the PROXY protocol's header, versions 1 and 2, from the first bytes of a connection. Sections are
 * those of HAProxy's proxy-protocol.txt. Strict: what does not match exactly is malformed, and is told
 * as soon as it shows. Knows no sockets and decides nothing about who may send a header.
 */
import { parseIp } from "../../routing/domain.ts";
import { crc32c } from "./crc32c.ts";

export type Endpoint = { readonly address: string; readonly port: number };

/** Who the balancer speaks for. IPv4-mapped addresses are unmapped, all are in canonical spelling. */
export type Forwarded = { readonly source: Endpoint; readonly destination: Endpoint };

export type ParsedHeader =
  /** So far so good, and not whole. */
  | { readonly kind: "more" }
  | { readonly kind: "malformed"; readonly text: string }
  | {
      readonly kind: "header";
      /** How many bytes the header has; what follows is the client's. */
      readonly bytes: number;
      /** Undefined: the connection is the balancer's own, or it cannot say whose (UNKNOWN, LOCAL). */
      readonly forwarded: Forwarded | undefined;
    };

const textPrefix = Buffer.from("PROXY ");
/** Section 2.1: the longest line, its CRLF included. */
const textBytesMax = 107;
/** Section 2.2. */
const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n");
const fixedBytes = 16;
/** Addresses have up to 216 bytes; some balancers add a client's certificate behind them. */
const binaryBytesMax = 16_384;

const CR = 13;
const LF = 10;
const more: ParsedHeader = { kind: "more" };

/** `input` is everything that has come in so far; once an answer is not "more", it stays the same. */
export function parseProxyHeader(input: Buffer): ParsedHeader {
  if (input.length === 0) return more;
  if (input[0] === signature[0]) return parseBinary(input);
  return startsLike(input, textPrefix) ? parseText(input) : malformed("no PROXY header");
}

function startsLike(input: Buffer, prefix: Buffer): boolean {
  const length = Math.min(input.length, prefix.length);
  return input.compare(prefix, 0, length, 0, length) === 0;
}

/** Section 2.1, the human-readable header. */
function parseText(input: Buffer): ParsedHeader {
  const line = input.subarray(0, textBytesMax);
  const end = line.findIndex((byte) => byte === CR || byte === LF);
  const ended = end >= 0 && line[end] === CR && line[end + 1] === LF;
  if (!ended) {
    if (end >= 0 && (line[end] === LF || end + 1 < line.length)) return malformed("bare CR or LF");
    if (line.length === textBytesMax) return malformed("no CRLF in the first 107 bytes");
    return more;
  }
  const text = line.toString("latin1", textPrefix.length, end);
  const bytes = end + 2;
  // What may stand behind UNKNOWN must be ignored.
  if (/^UNKNOWN(?: |$)/.test(text)) return { kind: "header", bytes, forwarded: undefined };
  const forwarded = textAddresses(text.split(" "));
  return forwarded === undefined
    ? malformed("the line is not as section 2.1 has it")
    : { kind: "header", bytes, forwarded };
}

function textAddresses(fields: readonly string[]): Forwarded | undefined {
  const [family, ...rest] = fields;
  if ((family !== "TCP4" && family !== "TCP6") || rest.length !== 4) return undefined;
  const [from = "", to = "", fromPort = "", toPort = ""] = rest;
  const isFamily = (text: string): boolean => text.includes(":") === (family === "TCP6");
  if (!isFamily(from) || !isFamily(to)) return undefined;
  const source = endpoint(parseIp(from), textPort(fromPort));
  const destination = endpoint(parseIp(to), textPort(toPort));
  return source && destination && { source, destination };
}

function textPort(text: string): number | undefined {
  return /^(?:0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535 ? Number(text) : undefined;
}

function endpoint(address: string | undefined, port: number | undefined): Endpoint | undefined {
  return address === undefined || port === undefined ? undefined : { address, port };
}

const families = ["UNSPEC", "INET", "INET6", "UNIX"] as const;
const transports = ["UNSPEC", "STREAM", "DGRAM"] as const;
const addressesBytes = { UNSPEC: 0, INET: 12, INET6: 36, UNIX: 216 } as const;

/** Section 2.2, the binary header. */
function parseBinary(input: Buffer): ParsedHeader {
  if (!startsLike(input, signature)) return malformed("no PROXY header");
  const [versionAndCommand = 0x21, familyAndTransport = 0x11] = input.subarray(signature.length);
  if (versionAndCommand >> 4 !== 2) return malformed(`version ${versionAndCommand >> 4}`);
  const command = versionAndCommand & 15;
  if (command > 1) return malformed(`command ${command}`);
  const family = families[familyAndTransport >> 4];
  const transport = transports[familyAndTransport & 15];
  const isLocal = command === 0;
  // Of a LOCAL connection even the family is ignored.
  if (!isLocal && (family === undefined || transport === undefined)) {
    return malformed(`family and transport 0x${familyAndTransport.toString(16).padStart(2, "0")}`);
  }
  if (input.length < fixedBytes) return more;
  const bytes = fixedBytes + input.readUInt16BE(14);
  if (bytes > binaryBytesMax) return malformed(`${bytes} bytes are more than ${binaryBytesMax}`);
  if (input.length < bytes) return more;
  // Without both, where the addresses end is not known, and what is there is to be ignored.
  if (isLocal || !family || !transport || family === "UNSPEC" || transport === "UNSPEC") {
    return { kind: "header", bytes, forwarded: undefined };
  }
  const tail = fixedBytes + addressesBytes[family];
  if (bytes < tail) return malformed(`${bytes} bytes are too few for ${family} addresses`);
  const fault = vectorsFault(input.subarray(0, bytes), tail);
  if (fault !== undefined) return malformed(fault);
  // No SMTP client speaks by datagrams or from a socket file of the balancer's host.
  const isForwarded = transport === "STREAM" && family !== "UNIX";
  const forwarded = isForwarded ? binaryAddresses(input.subarray(fixedBytes, tail)) : undefined;
  return { kind: "header", bytes, forwarded };
}

/** Two addresses and two ports. */
function binaryAddresses(block: Buffer): Forwarded {
  const size = (block.length - 4) / 2;
  return {
    source: { address: ip(block.subarray(0, size)), port: block.readUInt16BE(2 * size) },
    destination: {
      address: ip(block.subarray(size, 2 * size)),
      port: block.readUInt16BE(2 * size + 2),
    },
  };
}

function ip(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_none, at) => bytes.readUInt16BE(2 * at).toString(16));
  const text = groups.join(":");
  return parseIp(text) ?? text;
}

const crc32cType = 3;

/** Walks the type-length-values behind the addresses; of them only the checksum counts (2.2.3). */
function vectorsFault(header: Buffer, from: number): string | undefined {
  for (let at = from; at < header.length; ) {
    if (at + 3 > header.length) return "a cut-off TLV";
    const value = at + 3;
    const end = value + header.readUInt16BE(at + 1);
    if (end > header.length) return "a cut-off TLV";
    if (header[at] === crc32cType) {
      if (end - value !== 4) return "a CRC-32C of other than 4 bytes";
      const zeroed = Buffer.from(header).fill(0, value, end);
      if (crc32c(zeroed) !== header.readUInt32BE(value)) return "the CRC-32C does not fit";
    }
    at = end;
  }
  return undefined;
}

function malformed(text: string): ParsedHeader {
  return { kind: "malformed", text };
}
