/**
 * Big bodies, each in a file of its own, named by its message's id. Adapter over the file system: a file is
 * whole and synced, and its name too, before `write` resolves; nobody may name it before that. It knows
 * neither records nor bounds. Files that no message names are left over from a crash, and removed at the start.
 */
import { constants, readdirSync } from "node:fs";
import { type FileHandle, open, readFile, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { isMissing, makeDirectorySync, writeWhole } from "../synced.ts";
import { readPart } from "./read-part.ts";

const folder = "bodies";
/** Each write is on disk when it returns: one call in place of two. */
const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_DSYNC;

export class BodyFiles {
  readonly #directory: string;
  readonly #ids: Set<string>;
  /** The sync of the directory that has not begun yet: all who wait share it. */
  #nextSync: Promise<void> | undefined;
  #currentSync: Promise<void> = Promise.resolve();
  /** The directory, open since it was first synced. */
  #handle: Promise<FileHandle> | undefined;
  #isClosed = false;

  /** Throws where the directory cannot be made or read. */
  constructor(spoolDirectory: string) {
    this.#directory = join(spoolDirectory, folder);
    makeDirectorySync(this.#directory);
    this.#ids = new Set(readdirSync(this.#directory));
  }

  get size(): number {
    return this.#ids.size;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /**
   * Resolves when it is on disk. Rejects where it is not: then nothing of it is left, as far as that can be had; where
   * there is one already, that stays.
   */
  async write(id: string, body: Uint8Array): Promise<void> {
    if (this.#ids.has(id)) throw new Error(`there is a body of ${id} already`);
    const file = await open(join(this.#directory, id), createFlags, 0o600);
    this.#ids.add(id);
    try {
      await allDone([this.#syncNames(), writeWhole(file, body, 0)]);
    } catch (error) {
      await this.remove(id);
      throw error;
    } finally {
      void file.close().catch(() => undefined); // every write of it is on disk
    }
  }

  /** Undefined where there is none. Rejects where it cannot be read. */
  async read(id: string): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.#directory, id));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Its first octets, `bytesMax` at most, and how many there are in all; undefined where there is none. */
  async readHead(
    id: string,
    bytesMax: number,
  ): Promise<{ readonly head: Buffer; readonly bytes: number } | undefined> {
    try {
      const { bytes: head, size } = await readPart(join(this.#directory, id), 0, bytesMax);
      return { head, bytes: size };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Never rejects: what stays is removed at the next start. */
  async remove(id: string): Promise<void> {
    this.#ids.delete(id);
    await unlink(join(this.#directory, id)).catch(() => undefined);
  }

  /** To a path on the same volume; false where there is none. */
  async moveTo(path: string, id: string): Promise<boolean> {
    if (!this.#ids.delete(id)) return false;
    try {
      await rename(join(this.#directory, id), path);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      this.#ids.add(id);
      throw error;
    }
  }

  /** Removes all that are of no message. */
  async removeOthers(isKnown: (id: string) => boolean): Promise<void> {
    for (const id of [...this.#ids]) if (!isKnown(id)) await this.remove(id);
  }

  /** What is being written fails, unless its sync has begun; nothing can be written afterwards. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#currentSync;
    await this.#letGo();
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
    if (this.#isClosed) throw new Error("the spool is closed");
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

/** Rejects when all have ended, where one of them has failed. */
async function allDone(promises: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
