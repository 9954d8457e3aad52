/**
 * The journal's files by their names: segments, and spare ones. A segment that is not needed any more stays as a file
 * to write the next one over: what is written over is on disk with one write, in a fifth of the time at 4 KiB and half
 * at 1 MiB; a file that grows needs the file system's own journal as well. Adapter over names: who calls syncs the
 * directory. It knows nothing of what is in them; that old frames do not pass for new ones is their markers' matter.
 */
import { existsSync, readdirSync } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { createFlags, isMissing, makeDirectorySync, overwriteFlags } from "../synced.ts";

const folder = "journal";
/** Spare ones are named by the segment that they were. */
const sparePrefix = "spare-";
const sparesMax = 4;

export function journalDirectory(spoolDirectory: string): string {
  return join(spoolDirectory, folder);
}

export function segmentPath(spoolDirectory: string, number: number): string {
  return join(journalDirectory(spoolDirectory), digitsOf(number));
}

/** Numbers of the segments that there are, oldest first. Makes the directory. Throws where that cannot be done. */
export function segmentsIn(spoolDirectory: string): number[] {
  const directory = journalDirectory(spoolDirectory);
  makeDirectorySync(directory);
  return numbersIn(directory, "");
}

export class SpareSegments {
  readonly #spoolDirectory: string;
  /** Of a segment: files of less than half or more than twice of it are not kept. */
  readonly #usualBytes: number;
  #numbers: number[];

  /** Throws where the journal's directory cannot be read. */
  constructor(spoolDirectory: string, usualBytes: number) {
    this.#spoolDirectory = spoolDirectory;
    this.#usualBytes = usualBytes;
    this.#numbers = numbersIn(journalDirectory(spoolDirectory), sparePrefix);
  }

  /** The newest that one of them has been; 0 where there is none. A file must never have the same number twice. */
  get newest(): number {
    return Math.max(0, ...this.#numbers);
  }

  /**
   * The segment of this number, which is above `newest`, to write from its beginning on: a spare one, or else a new one.
   * Rejects where the disk does, and where there is such a file.
   */
  async begin(number: number): Promise<FileHandle> {
    const path = segmentPath(this.#spoolDirectory, number);
    if (existsSync(path)) throw new Error(`there is a file ${path} already (EEXIST)`);
    for (;;) {
      const [spare] = this.#numbers;
      if (spare === undefined) return await open(path, createFlags, 0o600);
      this.#forget(spare);
      const file = await this.#rename(spare, path);
      if (file !== undefined) return file;
    }
  }

  /** Opened first: what cannot be opened is no segment yet. Undefined where somebody has deleted it. */
  async #rename(spare: number, path: string): Promise<FileHandle | undefined> {
    let file: FileHandle | undefined;
    try {
      file = await open(this.#pathOf(spare), overwriteFlags);
      await rename(this.#pathOf(spare), path);
      return file;
    } catch (error) {
      await file?.close().catch(() => undefined);
      if (isMissing(error)) return undefined;
      await rm(this.#pathOf(spare), { force: true }).catch(() => undefined);
      throw error;
    }
  }

  /** The segment is not needed any more: its file is spare, or where that is not worth it, gone. Rejects with the disk. */
  async release(number: number): Promise<void> {
    const path = segmentPath(this.#spoolDirectory, number);
    const bytes = await bytesOf(path);
    const isFit = bytes >= this.#usualBytes / 2 && bytes <= this.#usualBytes * 2;
    if (!isFit || this.#numbers.length >= sparesMax) {
      await rm(path, { force: true });
      return;
    }
    await rename(path, this.#pathOf(number));
    this.#forget(number);
    this.#numbers.push(number);
  }

  /** Gives their space back to the volume, as far as that can be done; false where there were none. */
  async dropAll(): Promise<boolean> {
    const numbers = this.#numbers;
    this.#numbers = [];
    for (const each of numbers)
      await rm(this.#pathOf(each), { force: true }).catch(() => this.#numbers.push(each));
    return numbers.length > 0;
  }

  #forget(number: number): void {
    this.#numbers = this.#numbers.filter((each) => each !== number);
  }

  #pathOf(number: number): string {
    return join(journalDirectory(this.#spoolDirectory), `${sparePrefix}${digitsOf(number)}`);
  }
}

/** As if it were endless where there is none. */
async function bytesOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return Number.POSITIVE_INFINITY;
    throw error;
  }
}

function digitsOf(number: number): string {
  return String(number).padStart(10, "0");
}

function numbersIn(directory: string, prefix: string): number[] {
  const name = new RegExp(`^${prefix}(\\d{10})$`);
  return readdirSync(directory)
    .flatMap((each) => name.exec(each)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}
