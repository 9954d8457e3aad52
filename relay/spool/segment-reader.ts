/**
 * Parts of segments, read through files that stay open: a queue that was found at a start, or was deferred, is read
 * message by message, and opening, measuring and closing its segment would cost more than the reading. Adapter over a
 * few files; it knows nothing of what is in them.
 */
import { type FileHandle, open } from "node:fs/promises";
import { readFrom } from "./read-part.ts";

/** Mail goes in order of its coming: from a few segments at a time. */
const filesMax = 16;

type Opened = {
  readonly file: Promise<FileHandle>;
  reading: number;
  /** Nobody gets it any more: it is closed when nobody reads. */
  isLet: boolean;
};

export class SegmentReader {
  readonly #pathOf: (segment: number) => string;
  /** By segment; what was read last is last. */
  readonly #opened = new Map<number, Opened>();
  #isClosed = false;

  constructor(pathOf: (segment: number) => string) {
    this.#pathOf = pathOf;
  }

  /** Fewer octets where there are fewer. Rejects where it cannot be read: the next try opens it anew. */
  async read(segment: number, at: number, bytesMax: number): Promise<Buffer> {
    const opened = this.#openedFor(segment);
    opened.reading += 1;
    try {
      return await readFrom(await opened.file, at, bytesMax);
    } catch (error) {
      this.#let(segment, opened);
      throw error;
    } finally {
      opened.reading -= 1;
      if (opened.isLet) close(opened);
    }
  }

  #openedFor(segment: number): Opened {
    const opened = this.#opened.get(segment) ?? {
      file: open(this.#pathOf(segment), "r"),
      reading: 0,
      isLet: this.#isClosed,
    };
    if (opened.isLet) return opened;
    this.#opened.delete(segment);
    this.#opened.set(segment, opened);
    if (this.#opened.size > filesMax) {
      const [oldest] = this.#opened.keys();
      if (oldest !== undefined) this.forget(oldest);
    }
    return opened;
  }

  /** Its file is closed as soon as nobody reads it; a later read opens what has its name then. */
  forget(segment: number): void {
    const opened = this.#opened.get(segment);
    if (opened !== undefined) this.#let(segment, opened);
  }

  #let(segment: number, opened: Opened): void {
    if (this.#opened.get(segment) === opened) this.#opened.delete(segment);
    opened.isLet = true;
    close(opened);
  }

  close(): void {
    this.#isClosed = true;
    for (const each of [...this.#opened.keys()]) this.forget(each);
  }
}

function close({ file, reading }: Opened): void {
  if (reading > 0) return;
  file.then(
    (each) => each.close().catch(() => undefined),
    () => undefined,
  );
}
