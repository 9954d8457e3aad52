/**
 * Reads a directory of manifests into a library, and believes only what has stood still: a file that is
 * being written is often good YAML that says less. Adapter: file system and clock. Which files there are is
 * the listing's matter, what they mean the library's.
 */
import type { Stats } from "node:fs";
import { constants, open, stat } from "node:fs/promises";
import type { Library } from "./library.ts";
import { listManifests } from "./listing.ts";

const fileBytesMax = 2 * 1024 * 1024;
/** How long a file must have been the same, at two looks, before it is read. */
const stillMs = 300;
/** As much for one that was replaced as a whole: by rename, most likely, and then complete. */
const replacedStillMs = 90;
/** A file without a newline at its end is unfinished, unless it is older than this. */
const unfinishedMs = 2000;
/** How long less than before, in a file or of files, must be the same before it counts. */
const withdrawalMs = 1000;
/** Whatever goes on changing is complained of then, or counts, whichever is safe. */
const restlessMs = 5000;
/** A file that came this long before another went may still be what became of it. */
const renameMs = 2000;

export type Scanned = {
  readonly changed: boolean;
  /** Something is to be looked at again after so long; undefined: all has been read. */
  readonly againMs?: number;
};

export type Scanner = {
  /** Brings the library up to the directory. Throws where it cannot be listed. */
  scan(library: Library): Promise<Scanned>;
};

/** What is known of a file by looking at it. */
type Sight = {
  readonly mark: string;
  readonly inode: number;
  /** When this mark was first seen. */
  readonly sinceMs: number;
  /** When it was last as it had been read. */
  readonly restlessSinceMs: number;
  readonly needMs: number;
  /** It is read for the first time. */
  readonly isFirst: boolean;
  taken: boolean;
  /** A text that says less than the one before, and when it was first read. */
  doubt?: { readonly text: string; readonly sinceMs: number };
};

export function createScanner(directory: string): Scanner {
  const scan = new Scan();
  return {
    async scan(library) {
      return await scan.run(directory, library);
    },
  };
}

class Scan {
  readonly #sights = new Map<string, Sight>();
  /** By path: why it cannot be read, as the library was told. */
  readonly #told = new Map<string, string>();
  /** When a path was first listed, and when it was not listed any more. */
  readonly #cameMs = new Map<string, number>();
  readonly #wentMs = new Map<string, number>();
  #lastWentMs = 0;
  #changed = false;
  #againMs: number | undefined;

  async run(directory: string, library: Library): Promise<Scanned> {
    const { files, unreadable } = await listManifests(directory);
    this.#changed = false;
    this.#againMs = undefined;
    const there = new Set([...files, ...unreadable.keys()]);
    this.#comeAndGo(there, [...unreadable.keys()], library);
    for (const [path, why] of unreadable) this.#tell(path, why, library);
    for (const file of files) await this.#look(file, library);
    this.#withdraw(library);
    return {
      changed: this.#changed,
      ...(this.#againMs !== undefined && { againMs: this.#againMs }),
    };
  }

  #again(ms: number): void {
    this.#againMs = Math.max(1, Math.min(this.#againMs ?? Number.POSITIVE_INFINITY, ms));
  }

  #tell(path: string, why: string, library: Library): void {
    this.#sights.delete(path);
    if (this.#told.get(path) === why) return;
    this.#told.set(path, why);
    library.unreadable(path, why);
    this.#changed = true;
  }

  #comeAndGo(there: ReadonlySet<string>, unreadable: readonly string[], library: Library): void {
    const nowMs = performance.now();
    for (const path of there) {
      this.#wentMs.delete(path);
      if (!this.#cameMs.has(path)) this.#cameMs.set(path, nowMs);
    }
    for (const path of this.#cameMs.keys()) if (!there.has(path)) this.#cameMs.delete(path);
    for (const file of library.files) {
      if (there.has(file) || this.#wentMs.has(file)) continue;
      // What cannot be listed has not been deleted.
      if (unreadable.some((path) => file.startsWith(`${path}/`))) continue;
      this.#wentMs.set(file, nowMs);
      this.#lastWentMs = nowMs;
      this.#sights.delete(file);
      this.#told.delete(file);
      library.absent(file);
      this.#changed = true;
    }
  }

  /** Deleted files: all at once when no more are being deleted, so that the guard sees them together. */
  #withdraw(library: Library): void {
    const nowMs = performance.now();
    const known = new Set(library.files);
    for (const [file, wentMs] of this.#wentMs) {
      const goneMs = nowMs - wentMs;
      const quietMs = nowMs - this.#lastWentMs;
      if (quietMs < withdrawalMs && goneMs < restlessMs) {
        this.#again(withdrawalMs - quietMs);
        continue;
      }
      const heir = [...this.#cameMs].find(
        ([path, cameMs]) =>
          cameMs >= wentMs - renameMs && (!known.has(path) || library.isUnknown(path)),
      );
      if (heir === undefined) {
        library.remove(file);
        this.#wentMs.delete(file);
        this.#told.delete(file);
        this.#changed = true;
        continue;
      }
      const why = `is gone, but ${heir[0]} cannot be read and may be what became of it: its routes stay until that is mended or removed`;
      if (!known.has(heir[0]) || this.#told.get(file) === why) continue;
      this.#told.set(file, why);
      library.absent(file, why);
      this.#changed = true;
    }
  }

  async #look(file: string, library: Library): Promise<void> {
    let facts: Stats;
    try {
      facts = await stat(file);
    } catch (error) {
      const { code = String(error) } = error as NodeJS.ErrnoException;
      // Deleted meanwhile: the next scan sees that.
      if (code === "ENOENT") this.#again(stillMs);
      else this.#tell(file, `${code}: mend its permissions`, library);
      return;
    }
    if (!facts.isFile()) {
      this.#tell(file, "it is no regular file (a pipe, a socket, a device): remove it", library);
      return;
    }
    const sight = this.#sightOf(file, facts);
    if (sight.taken) return;
    if (facts.size > fileBytesMax) {
      this.#tell(file, `larger than ${fileBytesMax} bytes (2 MiB): split it`, library);
      return;
    }
    const waitMs = await this.#read(file, { sight, facts, library });
    if (waitMs === undefined) return;
    this.#again(waitMs);
    const isRestless = performance.now() - sight.restlessSinceMs > restlessMs;
    if (isRestless && sight.doubt === undefined && this.#told.get(file) === undefined) {
      const why = "it is being written all the time";
      this.#told.set(file, why);
      library.unreadable(file, why);
      this.#changed = true;
    }
  }

  #sightOf(file: string, facts: Stats): Sight {
    const { mtimeMs, ctimeMs, size, ino, dev } = facts;
    const mark = `${mtimeMs}/${ctimeMs}/${size}/${ino}/${dev}`;
    const before = this.#sights.get(file);
    if (before?.mark === mark) return before;
    const nowMs = performance.now();
    const isReplaced = before !== undefined && before.inode !== ino;
    const sight: Sight = {
      mark,
      inode: ino,
      sinceMs: nowMs,
      restlessSinceMs: before === undefined || before.taken ? nowMs : before.restlessSinceMs,
      needMs: isReplaced ? replacedStillMs : stillMs,
      isFirst: before === undefined,
      taken: false,
    };
    this.#sights.set(file, sight);
    return sight;
  }

  /** After how many milliseconds to try again; undefined: nothing is left to do. */
  async #read(
    file: string,
    { sight, facts, library }: { sight: Sight; facts: Stats; library: Library },
  ): Promise<number | undefined> {
    const nowMs = performance.now();
    const stoodMs = nowMs - sight.sinceMs;
    const ageMs = Date.now() - Math.max(facts.mtimeMs, facts.ctimeMs);
    const isOld = sight.isFirst && ageMs >= unfinishedMs;
    const isReplaced = sight.needMs === replacedStillMs && ageMs >= replacedStillMs;
    if (stoodMs < sight.needMs && !isOld && !isReplaced) return sight.needMs - stoodMs;
    let text: string | undefined;
    try {
      text = await textOf(file, facts);
    } catch (error) {
      const { code = String(error) } = error as NodeJS.ErrnoException;
      this.#tell(file, `${code}: mend its permissions`, library);
      return undefined;
    }
    if (text === undefined) return stillMs;
    const isCut = text !== "" && !text.endsWith("\n");
    if (isCut && Math.max(stoodMs, ageMs) < unfinishedMs) {
      return unfinishedMs - Math.max(stoodMs, ageMs);
    }
    if (sight.doubt !== undefined && sight.doubt.text !== text) delete sight.doubt;
    const doubtedMs = sight.doubt === undefined ? 0 : nowMs - sight.doubt.sinceMs;
    const isSure = isOld || doubtedMs >= withdrawalMs;
    if (library.read(file, text, { isSure }) === "withdraws") {
      sight.doubt ??= { text, sinceMs: nowMs };
      return withdrawalMs - doubtedMs;
    }
    delete sight.doubt;
    sight.taken = true;
    this.#told.delete(file);
    this.#changed = true;
    return undefined;
  }
}

/** Undefined where it changes while it is read. */
async function textOf(file: string, facts: Stats): Promise<string | undefined> {
  // A pipe that has come in between must not be waited for.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const isSame = async (): Promise<boolean> => {
      const { ino, dev, size, mtimeMs, ctimeMs } = await handle.stat();
      const isSameFile = ino === facts.ino && dev === facts.dev && size === facts.size;
      return isSameFile && mtimeMs === facts.mtimeMs && ctimeMs === facts.ctimeMs;
    };
    if (!(await isSame())) return undefined;
    const text = await handle.readFile("utf8");
    return (await isSame()) ? text : undefined;
  } finally {
    await handle.close();
  }
}

/** The YAML files below a directory, in order of name. Throws where one cannot be looked at. */
export async function manifestFiles(directory: string): Promise<readonly string[]> {
  const { files, unreadable } = await listManifests(directory);
  const [first] = unreadable;
  if (first !== undefined) throw new Error(`${first[0]} cannot be read: ${first[1]}`);
  return files;
}
