/**
 * The journal read from its beginning: which messages there are, and where. Adapter: it reads segments and mends the
 * newest one's end, where a process or the power ended in the middle of a write. Damage is reported, never mended.
 */
import { readFile, truncate } from "node:fs/promises";
import { syncFile } from "../synced.ts";
import {
  endOfLast,
  endOfWritten,
  type Gap,
  type Item,
  itemBytesOf,
  markerOf,
  type Read,
  readFrames,
  remnantOf,
} from "./frame.ts";
import { identityOf, isOtherFile } from "./identity.ts";
import { readHeadAt } from "./journal.ts";
import type { Markers } from "./label.ts";
import type { Places } from "./places.ts";
import { quarantine } from "./quarantine.ts";
import { type Envelope, parseEnvelope, parseState, type State } from "./records.ts";
import { segmentPath, segmentsIn } from "./segment-files.ts";
import { SpoolError } from "./spool-error.ts";

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

/**
 * Of a spool whose label says format 1: a label that was put back from a copy may be older than what is beside it, and
 * all of that would be taken for damage. Throws SpoolError, with words.
 */
export async function refuseNewer(directory: string, markers: Markers): Promise<void> {
  for (const number of segmentsIn(directory)) {
    const marker = markerOf(markers(number), number);
    if ((await openingOf(directory, number, marker)) === undefined) continue;
    throw new SpoolError(
      `${segmentPath(directory, number)} is of a newer format than spool.json says: put back the newest copy of spool.json`,
    );
  }
}

/** Rejects where a segment cannot be read, with words: it may be later. Rejects where its end cannot be mended. */
export async function replay(
  directory: string,
  markers: Markers,
  places: Places,
): Promise<Replayed> {
  const numbers = segmentsIn(directory);
  const found = new Map<string, Found>();
  const damaged: Damaged[] = [];
  const damagedSegments: number[] = [];
  const putBack = new Map<number, string>();
  const ends = await endsSaid(directory, numbers, markers);
  const setAside = (name: string, number: number, octets: Uint8Array): void => {
    damaged.push({ name, bytes: Buffer.from(octets) });
    if (damagedSegments.at(-1) !== number) damagedSegments.push(number);
  };
  const newest = await newestBegun(directory, numbers, markers);
  let next = await load(directory, numbers[0], markers);
  for (let index = 0; next !== undefined; index += 1) {
    const segment: Loaded = next;
    const { number, bytes, parts } = segment;
    next = await load(directory, numbers[index + 1], markers);
    const refusedAt = ends.get(number);
    const isNewest = index >= newest;
    const end = isNewest
      ? endOfWritten(bytes, parts)
      : (refusedAt ?? endOfLast(parts) ?? bytes.length);
    if (isNewest || refusedAt !== undefined)
      await mendEnd(directory, segment, end, markers(number));
    places.grown(number, end);
    const now = identityOf(segmentPath(directory, number));
    const mark = markOf(segment);
    if (mark !== undefined && isOtherFile(mark, now)) putBack.set(number, now);
    for (const part of parts) {
      if (part.at >= end) break;
      const isRead = "items" in part && applyAll(part, { number, found, places });
      const partEnd = part.at + ("items" in part ? part.bytes : part.gapBytes);
      if (!isRead)
        setAside(`${number}-${part.at}`, number, bytes.subarray(part.at, Math.min(end, partEnd)));
    }
  }
  return { found, damaged, damagedSegments, putBack, newest: numbers.at(-1) ?? 0 };
}

async function load(
  directory: string,
  number: number | undefined,
  markers: Markers,
): Promise<Loaded | undefined> {
  if (number === undefined) return undefined;
  const path = segmentPath(directory, number);
  const bytes = await readFile(path).catch((error: unknown) => unreadable(path, error));
  return { number, bytes, parts: [...readFrames(bytes, markers(number))] };
}

function unreadable(path: string, cause: unknown): never {
  throw new SpoolError(
    `${path} cannot be read: does the volume fail? The relay starts when it can be; docs/spool.md says how to go on without what is lost for good`,
    { cause },
  );
}

/** A segment's first frame; undefined where there is none. Rejects, with words, where it cannot be read. */
async function openingOf(
  directory: string,
  number: number,
  marker: Buffer,
): Promise<Read | undefined> {
  const path = segmentPath(directory, number);
  return await readHeadAt(path, 0, marker).catch((error: unknown) => unreadable(path, error));
}

/** Where segments end, as later ones say at their beginning: not always the next, which may have failed as well. */
async function endsSaid(
  directory: string,
  numbers: readonly number[],
  markers: Markers,
): Promise<Map<number, number>> {
  const ends = new Map<number, number>();
  for (const number of numbers) {
    const opening = await openingOf(directory, number, markers(number));
    for (const item of opening?.items ?? []) if ("ended" in item) ends.set(item.ended, item.bytes);
  }
  return ends;
}

/**
 * Of `numbers`, the place of the newest segment in which something was written: a process that ends behind a failed
 * write leaves others that were only named.
 */
async function newestBegun(
  directory: string,
  numbers: readonly number[],
  markers: Markers,
): Promise<number> {
  for (let index = numbers.length - 1; index > 0; index -= 1) {
    const segment = await load(directory, numbers[index], markers);
    if (segment !== undefined && endOfWritten(segment.bytes, segment.parts) > 0) return index;
  }
  return 0;
}

/** Which file a segment says that it is. */
function markOf({ parts: [first] }: Loaded): string | undefined {
  if (first === undefined || !("items" in first)) return undefined;
  for (const item of first.items) if ("is" in item) return item.is;
  return undefined;
}

/**
 * What is behind the end was never answered for; where the disk has room it is kept to look at. What is before it is
 * on disk when this resolves.
 */
async function mendEnd(
  directory: string,
  { number, bytes }: Loaded,
  end: number,
  marker: Buffer,
): Promise<void> {
  const path = segmentPath(directory, number);
  if (end < bytes.length) {
    const remnant = remnantOf(bytes.subarray(end), marker);
    const remains = { id: `${number}-${end}`, journal: remnant };
    if (remnant.length > 0) await quarantine(directory, remains).catch(() => undefined);
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

type Target = {
  readonly number: number;
  readonly found: Map<string, Found>;
  readonly places: Places;
};

/** False where an envelope is none that this version knows: without a word its message would be lost. */
function applyAll(frame: Read, to: Target): boolean {
  let isKnown = true;
  for (const each of eachItem(frame)) isKnown = apply(each, to) && isKnown;
  return isKnown;
}

function apply({ item, at, bodyAt, itemBytes }: Each, { number, found, places }: Target): boolean {
  if ("accept" in item) {
    const envelope = parseEnvelope(item.accept);
    if (envelope === undefined) return false;
    const { id } = envelope;
    // Of format 1; or it was moved when its file had become another's, and no file has this name.
    const isUnnamed = item.bytes === 0 && envelope.bytes > 0;
    const file = item.file ?? (isUnnamed ? id : undefined);
    places.accepted(id, { segment: number, at, bodyAt, bytes: item.bytes + itemBytes, file });
    found.set(id, withState({ envelope, state: undefined }, item.state));
  } else if ("update" in item) {
    const before = found.get(item.update);
    if (before === undefined) return true;
    places.updated(item.update, { segment: number, at, bytes: itemBytes });
    found.set(item.update, withState(before, item.state));
  } else if ("remove" in item) {
    places.removed(item.remove, number);
    found.delete(item.remove);
  }
  return true;
}

function withState({ envelope }: Found, given: unknown): Found {
  if (given === undefined) return { envelope, state: undefined };
  const state = parseState(given, envelope);
  return state === undefined ? { envelope, state, lostState: given } : { envelope, state };
}
