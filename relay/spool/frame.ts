/**
 * One commit as the journal has it: pure. A frame is a head (what changes, as JSON, under a CRC-32) and behind it the
 * bodies that came with it, each under the CRC-32 of its envelope. Every frame begins with the spool's own salt: so
 * after damage the next frame is found, and nobody who sends mail can write what looks like one. See docs/spool.md.
 *
 *     salt 8 | head length 4 | bodies' length 4 | synced 4 | CRC-32 of what is before it and the head 4 | head | bodies
 *
 * Numbers are little-endian. `synced`: up to there the segment was on disk when the frame was written.
 */
import { crc32 } from "node:zlib";
import { isIntact } from "./records.ts";

export const saltBytes = 8;
export const prefixBytes = 24;
const headAt = saltBytes;
const bodiesAt = 12;
const syncedAt = 16;
const crcAt = 20;

/**
 * A message; with its state, where it has been moved. `crc` is of the body as it is here, where that is not the one of
 * its envelope: a body that was damaged before it was moved, in a frame that is whole.
 */
export type Accepted = {
  readonly accept: unknown;
  readonly bytes: number;
  readonly state?: unknown;
  readonly crc?: number;
};

/** What a frame says of one message, or of a segment; envelopes and states are checked by who reads them. */
export type Item =
  | Accepted
  | { readonly update: string; readonly state: unknown }
  | { readonly remove: string }
  /** Of an earlier segment, what is behind so many octets does not count: it was refused. */
  | { readonly ended: number; readonly bytes: number }
  /** The file that this segment is: see identity.ts. */
  | { readonly is: string };

/** Not yet sealed: only who writes it knows what is synced. */
export type Frame = {
  /** Prefix and head. */
  readonly head: Buffer;
  readonly bodies: readonly Uint8Array[];
  readonly bytes: number;
  /** Of each item in the head. */
  readonly itemBytes: readonly number[];
};

export type Read = {
  readonly at: number;
  readonly bytes: number;
  readonly synced: number;
  readonly items: readonly Item[];
  /** Where the first body begins. */
  readonly bodiesAt: number;
};

/** Octets that are no frame: damaged, or never wholly written. */
export type Gap = { readonly at: number; readonly gapBytes: number };

/** `bytes` of an accepted item is the length of its body in `bodies`; 0 where the body is elsewhere. */
export function makeFrame(items: readonly Item[], bodies: readonly Uint8Array[]): Frame {
  const texts = items.map((each) => JSON.stringify(each));
  const text = `[${texts.join(",")}]`;
  const headBytes = Buffer.byteLength(text);
  const head = Buffer.allocUnsafe(prefixBytes + headBytes);
  head.write(text, prefixBytes);
  let bodyBytes = 0;
  for (const body of bodies) bodyBytes += body.length;
  head.writeUInt32LE(headBytes, headAt);
  head.writeUInt32LE(bodyBytes, bodiesAt);
  const itemBytes = texts.length === 1 ? [headBytes] : texts.map((each) => Buffer.byteLength(each));
  return { head, bodies, bytes: head.length + bodyBytes, itemBytes };
}

/** May be done again. */
export function sealFrame({ head }: Frame, salt: Uint8Array, synced: number): void {
  head.set(salt, 0);
  head.writeUInt32LE(synced, syncedAt);
  head.writeUInt32LE(checksumOf(head), crcAt);
}

function checksumOf(head: Buffer): number {
  return crc32(head.subarray(prefixBytes), crc32(head.subarray(0, crcAt)));
}

/** By its prefix; meaningless where that is damaged. */
function frameBytes(prefix: Buffer): number {
  return prefixBytes + prefix.readUInt32LE(headAt) + prefix.readUInt32LE(bodiesAt);
}

/** Of a prefix and what its head says, by the prefix. */
export function headBytesOf(prefix: Buffer): number {
  return prefixBytes + prefix.readUInt32LE(headAt);
}

/** All that is in a segment, in its order. */
export function* readFrames(segment: Buffer, salt: Buffer): Generator<Read | Gap> {
  for (let at = 0; at < segment.length; ) {
    const frame = readFrame(segment, at, salt);
    if (frame !== undefined) {
      yield frame;
      at += frame.bytes;
      continue;
    }
    let next = segment.indexOf(salt, at + 1);
    while (next !== -1 && readFrame(segment, next, salt) === undefined)
      next = segment.indexOf(salt, next + 1);
    const end = next === -1 ? segment.length : next;
    yield { at, gapBytes: end - at };
    at = end;
  }
}

/** Undefined where there is no whole frame, or its head is not what was written. */
function readFrame(segment: Buffer, at: number, salt: Buffer): Read | undefined {
  const frame = readHead(segment, at, salt);
  return frame !== undefined && at + frame.bytes <= segment.length ? frame : undefined;
}

/** As `readFrame`, where the bodies need not be there. */
export function readHead(segment: Buffer, at: number, salt: Buffer): Read | undefined {
  if (at + prefixBytes > segment.length || !segment.subarray(at, at + saltBytes).equals(salt))
    return undefined;
  const prefix = segment.subarray(at, at + prefixBytes);
  const bytes = frameBytes(prefix);
  const headBytes = prefix.readUInt32LE(headAt);
  if (at + prefixBytes + headBytes > segment.length) return undefined;
  const head = segment.subarray(at, at + prefixBytes + headBytes);
  if (checksumOf(head) !== head.readUInt32LE(crcAt)) return undefined;
  const items = JSON.parse(head.toString("utf8", prefixBytes)) as Item[];
  const synced = head.readUInt32LE(syncedAt);
  return { at, bytes, synced, items, bodiesAt: at + prefixBytes + headBytes };
}

/** Of each item in the head, as it was written. */
export function itemBytesOf({ at, bodiesAt, items }: Read): number[] {
  if (items.length === 1) return [bodiesAt - at - prefixBytes];
  return items.map((each) => Buffer.byteLength(JSON.stringify(each)));
}

/** Whether the bodies of a frame, too, are what was written. */
export function hasWholeBodies(segment: Buffer, frame: Read): boolean {
  let at = frame.bodiesAt;
  for (const item of frame.items) {
    if (!("accept" in item) || item.bytes === 0) continue;
    const { crc = (item.accept as { crc: number }).crc } = item;
    const body = segment.subarray(at, at + item.bytes);
    if (!isIntact(body, { bytes: item.bytes, crc })) return false;
    at += item.bytes;
  }
  return true;
}

/**
 * What of the newest segment was never answered for: from the first octet on that is neither whole nor known to have
 * been synced. The segment's length where all of it counts.
 */
export function endOfWritten(segment: Buffer, parts: readonly (Read | Gap)[]): number {
  let synced = 0;
  for (const part of parts) if ("items" in part) synced = Math.max(synced, part.synced);
  for (const part of parts) {
    if (part.at < synced) continue;
    if (!("items" in part) || !hasWholeBodies(segment, part)) return part.at;
  }
  return segment.length;
}
