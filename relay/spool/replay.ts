/**
 * The journal read from its beginning: which messages there are, and where. Adapter: it reads segments and mends the
 * newest one's end, where a process or the power ended in the middle of a write. Damage is reported, never mended.
 */
import { readFile, truncate } from "node:fs/promises";
import { endOfWritten, type Gap, type Item, itemBytesOf, type Read, readFrames } from "./frame.ts";
import { identityOf, isOtherFile } from "./identity.ts";
import { segmentPath, segmentsIn } from "./journal.ts";
import type { Places } from "./places.ts";
import { quarantine } from "./quarantine.ts";
import { type Envelope, parseEnvelope, parseState, type State } from "./records.ts";
import { syncFile } from "./synced.ts";

export type Found = {
  readonly envelope: Envelope;
  /** Undefined: nothing has been tried yet. */
  readonly state: State | undefined;
  /** A state that cannot be one of this message's. */
  readonly lostState?: unknown;
};

/** Octets of the journal that cannot be read. */
export type Damaged = { readonly name: string; readonly bytes: Buffer };

export type Replayed = {
  readonly found: Map<string, Found>;
  readonly damaged: Damaged[];
  /** Segments with damage in them. */
  readonly damagedSegments: number[];
  /** Segments that are another file than the one that was written, and which file they are now. */
  readonly putBack: Map<number, string>;
  readonly newest: number;
};

type Loaded = {
  readonly number: number;
  readonly bytes: Buffer;
  readonly parts: readonly (Read | Gap)[];
};

/** Rejects where a segment cannot be read, or its end cannot be mended. */
export async function replay(directory: string, salt: Buffer, places: Places): Promise<Replayed> {
  const numbers = segmentsIn(directory);
  const found = new Map<string, Found>();
  const damaged: Damaged[] = [];
  const damagedSegments: number[] = [];
  const putBack = new Map<number, string>();
  let next = await load(directory, numbers[0], salt);
  for (let index = 0; next !== undefined; index += 1) {
    const segment: Loaded = next;
    const { number, bytes, parts } = segment;
    next = await load(directory, numbers[index + 1], salt);
    const saidEnd =
      next &&
      saidIn(next, (item) => ("ended" in item && item.ended === number ? item.bytes : undefined));
    const end = next === undefined ? endOfWritten(bytes, parts) : (saidEnd ?? bytes.length);
    if (end < bytes.length || next === undefined) await mendEnd(directory, segment, end);
    places.grown(number, end);
    const now = identityOf(segmentPath(directory, number));
    const mark = saidIn(segment, (item) => ("is" in item ? item.is : undefined));
    if (mark !== undefined && isOtherFile(mark, now)) putBack.set(number, now);
    for (const part of parts) {
      if (part.at >= end) break;
      if ("items" in part)
        for (const each of eachItem(part)) apply(each, { number, found, places });
      else {
        const rest = Buffer.from(bytes.subarray(part.at, Math.min(end, part.at + part.gapBytes)));
        damaged.push({ name: `${number}-${part.at}`, bytes: rest });
        if (damagedSegments.at(-1) !== number) damagedSegments.push(number);
      }
    }
  }
  return { found, damaged, damagedSegments, putBack, newest: numbers.at(-1) ?? 0 };
}

async function load(
  directory: string,
  number: number | undefined,
  salt: Buffer,
): Promise<Loaded | undefined> {
  if (number === undefined) return undefined;
  const bytes = await readFile(segmentPath(directory, number));
  return { number, bytes, parts: [...readFrames(bytes, salt)] };
}

/** What a segment says at its beginning, of itself or of an earlier one. */
function saidIn<T>({ parts: [first] }: Loaded, find: (item: Item) => T | undefined): T | undefined {
  if (first === undefined || !("items" in first)) return undefined;
  for (const item of first.items) {
    const said = find(item);
    if (said !== undefined) return said;
  }
  return undefined;
}

/**
 * What is behind the end was never answered for; where the disk has room it is kept to look at. What is before it is
 * on disk when this resolves.
 */
async function mendEnd(directory: string, { number, bytes }: Loaded, end: number): Promise<void> {
  const path = segmentPath(directory, number);
  if (end < bytes.length) {
    const rest = { id: `${number}-${end}`, journal: bytes.subarray(end) };
    await quarantine(directory, rest, undefined).catch(() => undefined);
    await truncate(path, end);
  }
  await syncFile(path);
}

type Each = {
  readonly item: Item;
  readonly at: number;
  readonly bodyAt: number;
  readonly itemBytes: number;
};

function* eachItem(frame: Read): Generator<Each> {
  const { items, at } = frame;
  const sizes = itemBytesOf(frame);
  let bodyAt = frame.bodiesAt;
  for (const [index, item] of items.entries()) {
    yield { item, at, bodyAt, itemBytes: sizes[index] ?? 0 };
    if ("accept" in item) bodyAt += item.bytes;
  }
}

function apply(
  { item, at, bodyAt, itemBytes }: Each,
  to: { readonly number: number; readonly found: Map<string, Found>; readonly places: Places },
): void {
  const { number, found, places } = to;
  if ("accept" in item) {
    const envelope = parseEnvelope(item.accept);
    if (envelope === undefined) return;
    const { id } = envelope;
    places.accepted(id, { segment: number, at, bodyAt, bytes: item.bytes + itemBytes });
    found.set(id, withState({ envelope, state: undefined }, item.state));
  } else if ("update" in item) {
    const before = found.get(item.update);
    if (before === undefined) return;
    places.updated(item.update, { segment: number, at, bytes: itemBytes });
    found.set(item.update, withState(before, item.state));
  } else if ("remove" in item) {
    places.removed(item.remove, number);
    found.delete(item.remove);
  }
}

function withState({ envelope }: Found, given: unknown): Found {
  if (given === undefined) return { envelope, state: undefined };
  const state = parseState(given, envelope);
  return state === undefined ? { envelope, state, lostState: given } : { envelope, state };
}
