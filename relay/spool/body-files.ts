/**
 * Big bodies, each in a file of its own, named by a number. A file whose message is finished stays, to write another
 * body over it: that needs no sync of names, and nothing of the file system's own journal. Adapter over the file system:
 * a body is whole and synced, and its file's name too, before `write` resolves; nobody may name it before that. It
 * knows neither records nor bounds. What a file has behind its body is of an earlier one.
 */
import { readdirSync, statSync } from "node:fs";
import { type FileHandle, open, rename, truncate, unlink } from "node:fs/promises";
import { join } from "node:path";
import {
  createFlags,
  isMissing,
  makeDirectorySync,
  overwriteFlags,
  syncDirectorySync,
  writeWhole,
} from "../synced.ts";
import { readPart } from "./read-part.ts";

const folder = "bodies";
/** A file is written over by a body that is not much shorter: the volume's space is counted by bodies. */
const bodyShareMin = 0.75;
/** One that is a little longer makes it grow. */
const bodyShareMax = 1.25;
/** Of all spare files together. */
const spareBytesMax = 64 * 1024 * 1024;
/** Of one; a longer one is deleted. */
const spareFileBytesMax = spareBytesMax / 4;

export class BodyFiles {
  readonly #directory: string;
  /** Of those that have a body, the octets in the file. */
  readonly #used = new Map<string, number>();
  /** Of those that have none, the octets in the file; the first has been spare for longest. */
  readonly #spare = new Map<string, number>();
  #spareBytes = 0;
  #newest = 0;
  /** The sync of the directory that has not begun yet: all who wait share it. */
  #nextSync: Promise<void> | undefined;
  #currentSync: Promise<void> = Promise.resolve();
  /** The directory, open since it was first synced. */
  #handle: Promise<FileHandle> | undefined;

  /**
   * `named`: bodies by what the journal says, whether they are there or not. Throws where the directory cannot be made,
   * read or synced.
   */
  constructor(spoolDirectory: string, named: ReadonlySet<string>) {
    this.#directory = join(spoolDirectory, folder);
    makeDirectorySync(this.#directory);
    const found = readdirSync(this.#directory);
    for (const name of found) this.#used.set(name, statSync(join(this.#directory, name)).size);
    for (const name of [...found, ...named])
      if (isNumber(name)) this.#newest = Math.max(this.#newest, Number(name));
    syncDirectorySync(this.#directory); // a name that was left by a crash may not be on disk yet
  }

  /** Resolves to its file's name when it is on disk. Rejects where it is not: then that file is gone, if it can be. */
  async write(body: Uint8Array): Promise<string> {
    const spare = this.#takeSpare(body.length);
    const name = spare ?? this.#freshName();
    const flags = spare === undefined ? createFlags : overwriteFlags;
    const opening = open(join(this.#directory, name), flags, 0o600);
    const file = await opening.catch(async (error: unknown) => {
      if (spare === undefined) throw error;
      await this.remove(name);
      if (!isMissing(error)) throw error;
      return undefined;
    });
    if (file === undefined) return await this.write(body); // somebody has deleted it: over another, then
    this.#used.set(name, Math.max(body.length, this.#used.get(name) ?? 0));
    try {
      const writing = writeWhole(file, body, 0);
      await (spare === undefined ? allDone([this.#syncNames(), writing]) : writing);
      return name;
    } catch (error) {
      await this.remove(name);
      throw error;
    } finally {
      void file.close().catch(() => undefined); // every write of it is on disk
    }
  }

  /** So many octets; fewer where the file has fewer. Undefined where there is none. Rejects where it cannot be read. */
  async read(name: string, bytes: number): Promise<Buffer | undefined> {
    try {
      return await readPart(join(this.#directory, name), 0, bytes);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /**
   * Its file is spare from now on, or gone: only when nothing on disk says any more that it is a body. Never rejects.
   */
  async release(name: string): Promise<void> {
    const bytes = this.#used.get(name);
    if (bytes === undefined) return;
    if (!isNumber(name) || bytes === 0 || bytes > spareFileBytesMax) {
      await this.remove(name);
      return;
    }
    this.#used.delete(name);
    this.#spare.set(name, bytes);
    this.#spareBytes += bytes;
    while (this.#spareBytes > spareBytesMax) await this.#removeOldestSpare();
  }

  /** To a path on the same volume, without what is behind its body; false where there is none. */
  async moveTo(path: string, name: string, bytes: number): Promise<boolean> {
    const fileBytes = this.#used.get(name);
    if (fileBytes === undefined) return false;
    this.#used.delete(name);
    try {
      if (fileBytes > bytes) await truncate(join(this.#directory, name), bytes);
      await rename(join(this.#directory, name), path);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      this.#used.set(name, fileBytes);
      throw error;
    }
  }

  /** After a start: those that no message names are spare. */
  async releaseOthers(named: ReadonlySet<string>): Promise<void> {
    for (const name of [...this.#used.keys()]) if (!named.has(name)) await this.release(name);
  }

  /**
   * Deletes it: in place of `release` where the journal may say after all that it is a body. Never rejects: what stays
   * is found at a start.
   */
  async remove(name: string): Promise<void> {
    this.#used.delete(name);
    await unlink(join(this.#directory, name)).catch(() => undefined);
  }

  /** Gives what is kept for later bodies back to the volume; false where there is nothing. Never rejects. */
  async dropSpares(): Promise<boolean> {
    const has = this.#spare.size > 0;
    while (this.#spare.size > 0) await this.#removeOldestSpare();
    return has;
  }

  /** When nothing of it is under way. Never rejects. */
  async close(): Promise<void> {
    await this.#letGo();
  }

  #freshName(): string {
    this.#newest += 1;
    return String(this.#newest).padStart(10, "0");
  }

  /** The shortest with room for so many octets, or else the longest that has not quite. Undefined where there is none. */
  #takeSpare(bytes: number): string | undefined {
    let best: string | undefined;
    let bestBytes = 0;
    for (const [name, has] of this.#spare) {
      if (has * bodyShareMin > bytes || has * bodyShareMax < bytes) continue;
      const isBetter = has >= bytes ? bestBytes < bytes || has < bestBytes : has > bestBytes;
      if (best !== undefined && !isBetter) continue;
      best = name;
      bestBytes = has;
    }
    if (best === undefined) return undefined;
    this.#forgetSpare(best);
    this.#used.set(best, bestBytes);
    return best;
  }

  async #removeOldestSpare(): Promise<void> {
    const [name] = this.#spare.keys();
    if (name === undefined) return;
    this.#forgetSpare(name);
    await this.remove(name);
  }

  #forgetSpare(name: string): void {
    this.#spareBytes -= this.#spare.get(name) ?? 0;
    this.#spare.delete(name);
  }

  /** A sync of the directory that begins after now. */
  async #syncNames(): Promise<void> {
    this.#nextSync ??= this.#currentSync.then(() => {
      this.#nextSync = undefined;
      const sync = this.#sync();
      this.#currentSync = sync.catch(() => undefined);
      return sync;
    });
    await this.#nextSync;
  }

  async #sync(): Promise<void> {
    this.#handle ??= open(this.#directory, "r");
    try {
      await (await this.#handle).sync();
    } catch (error) {
      await this.#letGo(); // what is wrong with it may be over next time
      throw error;
    }
  }

  async #letGo(): Promise<void> {
    const handle = await this.#handle?.catch(() => undefined);
    this.#handle = undefined;
    await handle?.close().catch(() => undefined);
  }
}

/** In format 1 they were named by their messages. */
function isNumber(name: string): boolean {
  return /^\d{10}$/.test(name);
}

/** Rejects when all have ended, where one of them has failed. */
async function allDone(promises: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
