/**
 * The journal: segments that frames are appended to, synced before `append` resolves; what comes while a write is
 * under way is one write together (group commit). Loop over the file system: it knows neither messages nor what of a
 * segment still counts. What a failed write has left is cut off again; where even that fails, the next segment says
 * that it does not count. See docs/spool.md.
 */
import { type FileHandle, open, readFile, rm } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";
import { isMissing, syncDirectory, writeWhole } from "../synced.ts";
import {
  type Frame,
  headBytesOf,
  type Item,
  makeFrame,
  prefixBytes,
  type Read,
  readHead,
  sealFrame,
} from "./frame.ts";
import { identityOf } from "./identity.ts";
import type { Markers } from "./label.ts";
import { readPart } from "./read-part.ts";
import { journalDirectory, SpareSegments, segmentPath } from "./segment-files.ts";
import { SegmentReader } from "./segment-reader.ts";

/** Of a segment, usually; the frame that passes it is the last. */
export const segmentBytes = 8 * 1024 * 1024;
/** So much is written at a time. */
const chunkBytes = 1024 * 1024;

export type Position = { readonly segment: number; readonly at: number };

export type JournalOptions = {
  readonly directory: string;
  readonly markers: Markers;
  /** The newest segment that there is, 0 where there is none. */
  readonly newest: number;
  /** After so many a segment is full. */
  readonly segmentBytes: number;
  /** Says how long a segment is now, before those who wait hear of it. */
  readonly grown: (segment: number, bytes: number) => void;
};

type Waiting = {
  readonly frame: Frame;
  readonly placed: (position: Position) => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
};
type Segment = { readonly number: number; readonly file: FileHandle; bytes: number };

/** A frame of a segment without its bodies; undefined where there is none. Rejects where it cannot be read. */
export async function readHeadAt(
  path: string,
  at: number,
  marker: Buffer,
): Promise<Read | undefined> {
  const prefix = await readPart(path, at, prefixBytes);
  if (prefix.length < prefixBytes) return undefined;
  return readHead(await readPart(path, at, headBytesOf(prefix, marker)), 0, marker);
}

export class Journal {
  readonly #options: JournalOptions;
  readonly #spares: SpareSegments;
  readonly #reader: SegmentReader;
  #newest: number;
  #current: Segment | undefined;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;
  #chunk: Buffer | undefined;
  /** Segments that are longer than what counts of them. */
  readonly #uncut = new Map<number, number>();

  constructor(options: JournalOptions) {
    this.#options = options;
    const { directory, segmentBytes, newest } = options;
    this.#spares = new SpareSegments(directory, segmentBytes);
    this.#reader = new SegmentReader((number) => segmentPath(directory, number));
    this.#newest = Math.max(newest, this.#spares.newest);
  }

  /**
   * Resolves when it is on disk; rejects where it is not, and then it never will be. `placed` is called before anybody
   * else can see that the segment has grown.
   */
  append(frame: Frame, placed: (position: Position) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ frame, placed, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    await turn(); // whatever else this turn brings
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      try {
        await this.#write(group);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#running = undefined;
  }

  async #write(group: readonly Waiting[]): Promise<void> {
    const segment = this.#current ?? (await this.#begin());
    const { markers, grown, segmentBytes } = this.#options;
    const { number, bytes: synced } = segment;
    const frames = group.map(({ frame }) => frame);
    let at = synced;
    try {
      if (synced === 0) {
        const opening = this.#opening(number);
        frames.unshift(opening);
        at = opening.bytes;
      }
      if (endOf(frames, synced) >= segmentBytes) frames.push(makeFrame([{ last: true }], []));
      const marker = markers(number);
      for (const frame of frames) sealFrame(frame, marker, synced);
      await this.#put(segment, frames);
    } catch (error) {
      await this.#abandon(segment);
      throw error;
    }
    segment.bytes = endOf(frames, synced);
    grown(number, segment.bytes);
    for (const { frame, placed, resolve } of group) {
      placed({ segment: number, at });
      at += frame.bytes;
      resolve();
    }
    if (segment.bytes >= segmentBytes) await this.#close();
  }

  async #begin(): Promise<Segment> {
    const number = this.#newest + 1;
    this.#newest = number; // also where there is such a file: somebody put it there
    const { directory } = this.#options;
    const segment = { number, file: await this.#spares.begin(number), bytes: 0 };
    try {
      await syncDirectory(journalDirectory(directory));
    } catch (error) {
      await this.#abandon(segment);
      throw error;
    }
    this.#current = segment;
    return segment;
  }

  async #put({ file, bytes }: Segment, frames: readonly Frame[]): Promise<void> {
    this.#chunk ??= Buffer.allocUnsafeSlow(chunkBytes);
    const chunk = this.#chunk;
    let at = bytes;
    let filled = 0;
    for (const piece of piecesOf(frames)) {
      for (let from = 0; from < piece.length; ) {
        const part = piece.subarray(from, from + chunk.length - filled);
        chunk.set(part, filled);
        filled += part.length;
        from += part.length;
        if (filled < chunk.length) continue;
        await writeWhole(file, chunk, at);
        at += filled;
        filled = 0;
      }
    }
    if (filled > 0) await writeWhole(file, chunk.subarray(0, filled), at);
  }

  /** What a segment begins with. */
  #opening(number: number): Frame {
    const items: Item[] = [{ is: identityOf(segmentPath(this.#options.directory, number)) }];
    for (const [ended, bytes] of this.#uncut) items.push({ ended, bytes });
    return makeFrame(items, []);
  }

  /** After a failed write nobody knows what is on disk: the segment ends where it was synced, and another begins. */
  async #abandon(segment: Segment): Promise<void> {
    const { number, file, bytes } = segment;
    try {
      await cut(file, bytes);
      if (bytes === 0) await rm(segmentPath(this.#options.directory, number));
    } catch {
      this.#uncut.set(number, bytes);
      this.#options.grown(number, bytes);
    } finally {
      this.#current = undefined;
      await file.close().catch(() => undefined);
    }
  }

  async #close(): Promise<void> {
    const { file } = this.#current as Segment;
    this.#current = undefined;
    await file.close().catch(() => undefined); // every write of it is on disk
  }

  isOpen(segment: number): boolean {
    return segment === this.#current?.number;
  }

  /** Rejects where it cannot be read. */
  async readSegment(number: number): Promise<Buffer> {
    return await readFile(segmentPath(this.#options.directory, number));
  }

  /** A frame without its bodies; undefined where there is none. Rejects where it cannot be read. */
  async readHead({ segment, at }: Position): Promise<Read | undefined> {
    const { directory, markers } = this.#options;
    return await readHeadAt(segmentPath(directory, segment), at, markers(segment));
  }

  /** Fewer octets where there are fewer; `bytesMax` is known to be sound. Rejects where it cannot be read. */
  async read({ segment, at }: Position, bytesMax: number): Promise<Buffer> {
    return await this.#reader.read(segment, at, bytesMax);
  }

  /**
   * No segment of the journal any more, and for good, when it resolves: its file is spare, or gone. Rejects where it
   * still is one, or where it is what says how long another is.
   */
  async drop(number: number): Promise<void> {
    const { directory } = this.#options;
    for (const [uncut, bytes] of this.#uncut) {
      await cutAt(segmentPath(directory, uncut), bytes);
      this.#uncut.delete(uncut);
    }
    this.#reader.forget(number);
    await this.#spares.release(number);
    await syncDirectory(journalDirectory(directory));
  }

  /** Gives what is kept for later segments back to the volume; false where there is nothing. Never rejects. */
  async dropSpares(): Promise<boolean> {
    return await this.#spares.dropAll();
  }

  /** Says at the end that all of it has been synced. Nobody may append any more. */
  async close(): Promise<void> {
    await this.#running;
    this.#reader.close();
    if (this.#current === undefined) return;
    await this.append(makeFrame([{ last: true }], []), () => undefined).catch(() => undefined);
    await this.#running;
    if (this.#current !== undefined) await this.#close();
  }
}

function endOf(frames: readonly Frame[], start: number): number {
  return frames.reduce((at, { bytes }) => at + bytes, start);
}

function* piecesOf(frames: readonly Frame[]): Generator<Uint8Array> {
  for (const { head, bodies } of frames) {
    yield head;
    yield* bodies;
  }
}

/** Also where there is no such file: it is short enough. */
async function cutAt(path: string, bytes: number): Promise<void> {
  const file = await open(path, "r+").catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });
  try {
    if (file !== undefined) await cut(file, bytes);
  } finally {
    await file?.close();
  }
}

async function cut(file: FileHandle, bytes: number): Promise<void> {
  await file.truncate(bytes);
  await file.sync();
}
