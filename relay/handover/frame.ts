/**
 * A spooled message on its way to another relay, as bytes: pure. Length and sealed record of the envelope, the same
 * of the state, then the body; envelope and state carry checksums of their own, and the envelope that of the body.
 */
import {
  decodeEnvelope,
  decodeState,
  encodeEnvelope,
  encodeState,
  isIntact,
} from "../spool/records.ts";
import type { Stored } from "../spool/spool.ts";

export type Framed = Stored & { readonly body: Buffer };

const lengthBytes = 4;

export function encodeFrame({ envelope, state, body }: Framed): Buffer {
  const records = [encodeEnvelope(envelope), encodeState(state)];
  return Buffer.concat([...records.flatMap((record) => [lengthOf(record), record]), body]);
}

/** Undefined where it is not what was sent, or of a version that this one does not read. */
export function decodeFrame(frame: Buffer): Framed | undefined {
  const first = recordAt(frame, 0);
  const second = first && recordAt(frame, first.end);
  const envelope = first && decodeEnvelope(first.record);
  const state = second && envelope && decodeState(second.record, envelope);
  if (second === undefined || envelope === undefined || state === undefined) return undefined;
  const body = frame.subarray(second.end);
  return isIntact(body, envelope) ? { envelope, state, body } : undefined;
}

function lengthOf(record: Buffer): Buffer {
  const length = Buffer.allocUnsafe(lengthBytes);
  length.writeUInt32BE(record.length);
  return length;
}

function recordAt(
  frame: Buffer,
  at: number,
): { readonly record: Buffer; readonly end: number } | undefined {
  if (frame.length < at + lengthBytes) return undefined;
  const begin = at + lengthBytes;
  const end = begin + frame.readUInt32BE(at);
  return end > frame.length ? undefined : { record: frame.subarray(begin, end), end };
}
