/**
 * What the spool keeps of a message: pure. An envelope never changes after 250, and carries the checksum of its body;
 * the state of its recipients is apart, so that an attempt writes a few bytes and never the message. In the journal both
 * are JSON in a frame's head (frame.ts); elsewhere (a hand-over, `corrupt/`) each is sealed by a checksum of its own.
 */
import { crc32 } from "node:zlib";
import { z } from "zod";
import { notifications } from "../dsn-request.ts";
import { parsedJson } from "../parsed-json.ts";

export const spoolFormat = 2;

/** Where a recipient goes was decided under this key; "outbound" is rule 5, MX without any route. */
const recipientSchema = z.strictObject({
  address: z.string(),
  key: z.string(),
  expiresAtMs: z.number(),
  warnAtMs: z.number(),
  // What its sender asked to be told (RFC 3461), where he asked.
  notify: z.array(z.enum(notifications)).readonly().optional(),
  orcpt: z.string().optional(),
});

const envelopeSchema = z.strictObject({
  id: z.string(),
  session: z.string(),
  client: z.string(),
  trusted: z.boolean(),
  sender: z.string(),
  recipients: z.array(recipientSchema).min(1),
  arrivedAtMs: z.number(),
  bytes: z.number(),
  crc: z.number(),
  eightBit: z.boolean(),
  smtputf8: z.boolean(),
  ret: z.enum(["FULL", "HDRS"]).optional(),
  envid: z.string().optional(),
});

const pendingSchema = z.strictObject({
  attempts: z.number(),
  dueAtMs: z.number(),
  warned: z.boolean(),
  last: z.string(),
  // By a person's order: the key that admits it now, in place of the envelope's.
  key: z.string().optional(),
});

const heldSchema = z.strictObject({ sinceMs: z.number(), why: z.string() });

const stateSchema = z.strictObject({
  recipients: z.array(z.nullable(pendingSchema)),
  held: heldSchema.optional(),
  // Times in a row that the process died while it delivered this message.
  deaths: z.number().optional(),
});

export type StoredRecipient = Readonly<z.infer<typeof recipientSchema>>;
export type Envelope = Readonly<z.infer<typeof envelopeSchema>>;
export type Pending = Readonly<z.infer<typeof pendingSchema>>;
/** Nobody tries it before it is released. */
export type Held = Readonly<z.infer<typeof heldSchema>>;
export type State = {
  /** One element for each recipient of the envelope, in its order: null is finished. */
  readonly recipients: readonly (Pending | null)[];
  readonly held?: Held | undefined;
  readonly deaths?: number | undefined;
};

/** The state of a message at which nobody has tried anything yet. */
export function freshState(envelope: Envelope): State {
  const pending: Pending = {
    attempts: 0,
    dueAtMs: envelope.arrivedAtMs,
    warned: false,
    last: "",
  };
  return { recipients: envelope.recipients.map(() => pending) };
}

export function encodeEnvelope(envelope: Envelope): Buffer {
  return seal(envelope);
}

export function encodeState(state: State): Buffer {
  return seal(state);
}

/** Undefined where the bytes are not what was written. */
export function decodeEnvelope(bytes: Uint8Array): Envelope | undefined {
  return parseEnvelope(unseal(bytes));
}

export function parseEnvelope(value: unknown): Envelope | undefined {
  const parsed = envelopeSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

/** Undefined where the bytes are not what was written, or do not fit the envelope. */
export function decodeState(bytes: Uint8Array, envelope: Envelope): State | undefined {
  return parseState(unseal(bytes), envelope);
}

/** Undefined where it does not fit the envelope. */
export function parseState(value: unknown, envelope: Envelope): State | undefined {
  const parsed = stateSchema.safeParse(value);
  if (!parsed.success) return undefined;
  return parsed.data.recipients.length === envelope.recipients.length ? parsed.data : undefined;
}

export function isIntact(body: Uint8Array, envelope: Pick<Envelope, "bytes" | "crc">): boolean {
  return body.length === envelope.bytes && crc32(body) === envelope.crc;
}

export function checksum(body: Uint8Array): number {
  return crc32(body);
}

/** Four octets of CRC-32, big-endian, then JSON. */
function seal(record: object): Buffer {
  const text = JSON.stringify(record);
  const sealed = Buffer.allocUnsafe(4 + Buffer.byteLength(text));
  sealed.write(text, 4);
  sealed.writeUInt32BE(crc32(sealed.subarray(4)), 0);
  return sealed;
}

function unseal(sealed: Uint8Array): unknown {
  if (sealed.length < 6) return undefined;
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.length);
  const json = bytes.subarray(4);
  return crc32(json) === bytes.readUInt32BE(0) ? parsedJson(json.toString()) : undefined;
}
