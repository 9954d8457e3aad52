/**
 * One commit as the journal has it: pure. A frame is a head (what changes, as JSON, under a CRC-32) and behind it the
 * bodies that came with it, each under the CRC-32 of its envelope. Every frame begins with its segment's marker, the
 * spool's own salt and the segment's number: so after damage the next frame is found, nobody who sends mail can write
 * what looks like one, and what is left of an earlier segment in the same file is not one. See docs/spool.md.
 *
 *     salt 8 | segment 4 | head length 4 | bodies' length 4 | synced 4 | CRC-32 of these and the head 4 | head | bodies
 *
 * Numbers are little-endian. `synced`: up to there the segment was on disk when the frame was written. Format 1 had no
 * numbers of segments.
 */
import { crc32 } from "node:zlib";
import { isIntact } from "./records.ts";

export const saltBytes = 8;
const markerBytes = saltBytes + 4;
/** Behind the marker. */
const bodyBytesAt = 4;
const syncedAt = 8;
const crcAt = 12;
const lengthsBytes = 16;
/** Of a frame that is written now. */
export const prefixBytes = markerBytes + lengthsBytes;

/**
 * A message; with its state, where it has been moved. `bytes` is the length of its body in the frame, 0 where that is a
 * file; `file` is that file's name (format 1 has none: there it is the message's id). `crc` is of the body as it is here,
 * where that is not the one of its envelope: a body that was damaged before it was moved, in a frame that is whole.
 */
export type Accepted = {
  readonly accept: unknown;
  readonly bytes: number;
  readonly file?: string | undefined;
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
  | { readonly is: string }
  /** Nothing that is behind this frame counts. */
  | { readonly last: true };

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
  /** Where their text begins. */
  readonly itemsAt: number;
  /** Where the first body begins. */
  readonly bodiesAt: number;
};

/** Octets that are no frame: damaged, or never wholly written. */
export type Gap = { readonly at: number; readonly gapBytes: number };

export function markerOf(salt: Uint8Array, segment: number): Buffer {
  const marker = Buffer.alloc(markerBytes);
  marker.set(salt);
  marker.writeUInt32LE(segment, saltBytes);
  return marker;
}

export function makeFrame(items: readonly Item[], bodies: readonly Uint8Array[]): Frame {
  const texts = items.map((each) => JSON.stringify(each));
  const text = `[${texts.join(",")}]`;
  const textBytes = Buffer.byteLength(text);
  const head = Buffer.allocUnsafe(prefixBytes + textBytes);
  head.write(text, prefixBytes);
  let bodyBytes = 0;
  for (const body of bodies) bodyBytes += body.length;
  head.writeUInt32LE(textBytes, markerBytes);
  head.writeUInt32LE(bodyBytes, markerBytes + bodyBytesAt);
  const itemBytes = texts.length === 1 ? [textBytes] : texts.map((each) => Buffer.byteLength(each));
  return { head, bodies, bytes: head.length + bodyBytes, itemBytes };
}

/** May be done again. Throws where the marker is of format 1: what is written now could not be read with it. */
export function sealFrame({ head }: Frame, marker: Uint8Array, synced: number): void {
  if (marker.length !== markerBytes) throw new Error("a frame of format 1 cannot be written");
  head.set(marker, 0);
  head.writeUInt32LE(synced, markerBytes + syncedAt);
  head.writeUInt32LE(checksumOf(head, markerBytes), markerBytes + crcAt);
}

/** `lengthsAt`: how long the marker is. */
function checksumOf(head: Buffer, lengthsAt: number): number {
  return crc32(head.subarray(lengthsAt + lengthsBytes), crc32(head.subarray(0, lengthsAt + crcAt)));
}

/** Octets of a prefix and its head, as the prefix says; meaningless where that is damaged. */
export function headBytesOf(prefix: Buffer, marker: Uint8Array): number {
  return marker.length + lengthsBytes + prefix.readUInt32LE(marker.length);
}

/** As `headBytesOf`, with the bodies. */
function frameBytes(prefix: Buffer, marker: Uint8Array): number {
  return headBytesOf(prefix, marker) + prefix.readUInt32LE(marker.length + bodyBytesAt);
}

/** All that is in a segment, in its order; behind its end, what an earlier segment has left in the file is a gap. */
export function* readFrames(segment: Buffer, marker: Buffer): Generator<Read | Gap> {
  for (let at = 0; at < segment.length; ) {
    const frame = readFrame(segment, at, marker);
    if (frame !== undefined) {
      yield frame;
      at += frame.bytes;
      continue;
    }
    let next = segment.indexOf(marker, at + 1);
    while (next !== -1 && readFrame(segment, next, marker) === undefined)
      next = segment.indexOf(marker, next + 1);
    const end = next === -1 ? segment.length : next;
    yield { at, gapBytes: end - at };
    at = end;
  }
}

/** Undefined where there is no whole frame, or its head is not what was written. */
function readFrame(segment: Buffer, at: number, marker: Buffer): Read | undefined {
  const frame = readHead(segment, at, marker);
  return frame !== undefined && at + frame.bytes <= segment.length ? frame : undefined;
}

/** As `readFrame`, where the bodies need not be there. */
export function readHead(segment: Buffer, at: number, marker: Buffer): Read | undefined {
  const lengthsAt = marker.length;
  if (at + lengthsAt + lengthsBytes > segment.length) return undefined;
  if (!segment.subarray(at, at + lengthsAt).equals(marker)) return undefined;
  const prefix = segment.subarray(at, at + lengthsAt + lengthsBytes);
  const headBytes = headBytesOf(prefix, marker);
  if (at + headBytes > segment.length) return undefined;
  const head = segment.subarray(at, at + headBytes);
  if (checksumOf(head, lengthsAt) !== head.readUInt32LE(lengthsAt + crcAt)) return undefined;
  const items = JSON.parse(head.toString("utf8", prefix.length)) as Item[];
  const synced = head.readUInt32LE(lengthsAt + syncedAt);
  const bytes = frameBytes(prefix, marker);
  return { at, bytes, synced, items, itemsAt: at + prefix.length, bodiesAt: at + headBytes };
}

/** Of each item in the head, as it was written. */
export function itemBytesOf({ itemsAt, bodiesAt, items }: Read): number[] {
  if (items.length === 1) return [bodiesAt - itemsAt];
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

/** Where a segment ends by its own last frame; undefined where it has none that says so. */
export function endOfLast(parts: readonly (Read | Gap)[]): number | undefined {
  const last = parts.findLast((each) => "items" in each);
  if (last === undefined || !last.items.some((each) => "last" in each)) return undefined;
  return last.at + last.bytes;
}

/** Of what is behind a segment's end, what may have been written as a part of it: up to its last marker's frame. */
export function remnantOf(rest: Buffer, marker: Buffer): Buffer {
  const last = rest.lastIndexOf(marker);
  if (last === -1) return rest.subarray(0, 0);
  const frame = rest.subarray(last);
  const isCut = frame.length < marker.length + lengthsBytes;
  return isCut ? rest : rest.subarray(0, last + frameBytes(frame, marker));
}
