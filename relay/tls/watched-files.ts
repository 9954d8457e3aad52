/**
 * Files that belong together and may change while running. Adapter over the file system: what they held when they
 * were last good stays, and what is wrong with them now is told beside it.
 */
import { stat } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";

/** What a person must mend: the setting, and words. */
export type Fault = { readonly where: string; readonly text: string };

export type Read<T> = { readonly ok: true; readonly value: T } | ({ readonly ok: false } & Fault);

export class WatchedFiles<T> {
  value: T | undefined;
  fault: Fault | undefined;
  readonly #files: readonly string[];
  readonly #read: () => Promise<Read<T>>;
  #seen = "";

  constructor(files: readonly string[], read: () => Promise<Read<T>>) {
    this.#files = files;
    this.#read = read;
  }

  /**
   * Reads the files if they are not as they were when last good; true where there is a new value. Files of a pair
   * change one after the other: they are looked at again until they fit.
   */
  async look(): Promise<boolean> {
    const now = await fingerprint(this.#files);
    if (now === this.#seen) {
      this.fault = undefined;
      return false;
    }
    const read = await this.#read();
    this.fault = read.ok ? undefined : { where: read.where, text: read.text };
    if (!read.ok) return false;
    this.#seen = now;
    // Files that were still being written when they were looked at are read once more.
    if (isDeepStrictEqual(read.value, this.value)) return false;
    this.value = read.value;
    return true;
  }
}

async function fingerprint(files: readonly string[]): Promise<string> {
  const stats = await Promise.all(
    files.map(async (file) => await stat(file).catch(() => undefined)),
  );
  return stats.map((each) => `${each?.mtimeMs}/${each?.size}/${each?.ino}`).join(" ");
}
