/**
 * A directory as it is after a loss of power: only what was synced is there, and of the rest what chance
 * leaves. Strict: a write lasts once its file was synced, a name once its directory was, as POSIX promises
 * and no more. Reads a directory before, and the record of what was done to it since; then mends it in place.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { type Call, readRecord } from "./record.ts";

/** What becomes of a write that was not synced: all of it, its first sectors, or nothing is there. */
export type Leftover = "lost" | "half" | "kept";

type Change = Call & { kind: "write" | "truncate" };
type FileState = { readonly durable: Content; pending: Change[] };
type Name = { readonly path: string; readonly file: FileState | "directory" | undefined };

const sectorBytes = 512;

export class Disk {
  readonly #root: string;
  /** Names that last, and what they stand for. */
  #names = new Map<string, FileState | "directory">();
  /** Names as the process saw them. */
  readonly #seen = new Map<string, FileState | "directory">();
  readonly #files = new Map<string, FileState>();
  readonly #paths = new Map<string, string>();
  #unsyncedNames: Name[] = [];
  /** What stood to be written when a sync began. */
  readonly #syncs = new Map<number, { files: ReadonlySet<unknown>; names: ReadonlySet<Name> }>();

  /** All that is in `root` now is on disk. */
  constructor(root: string) {
    this.#root = root;
    for (const path of pathsBelow(root)) {
      if (isVolatile(path)) continue;
      const stat = lstatSync(path, { bigint: true });
      if (stat.isDirectory()) this.#names.set(path, "directory");
      else if (stat.isFile()) {
        const file: FileState = { durable: new Content(readFileSync(path)), pending: [] };
        this.#names.set(path, file);
        this.#files.set(String(stat.ino), file);
      }
    }
    for (const [path, file] of this.#names) this.#seen.set(path, file);
  }

  replay(record: Buffer): void {
    for (const call of readRecord(record)) this.#apply(call);
  }

  #apply(call: Call): void {
    switch (call.kind) {
      case "open":
        this.#open(call);
        return;
      case "write":
        this.#write(call);
        return;
      case "truncate":
        this.#files.get(call.file)?.pending.push(call);
        return;
      case "syncBegun": {
        const path = this.#paths.get(call.file);
        const names = this.#unsyncedNames.filter((each) => dirname(each.path) === path);
        const files = new Set(this.#files.get(call.file)?.pending);
        this.#syncs.set(call.turn, { files, names: new Set(names) });
        return;
      }
      case "synced":
        this.#synced(call);
        return;
      case "rename": {
        const moved = this.#seen.get(call.path);
        this.#name(call.path, undefined);
        this.#name(call.to, moved);
        return;
      }
      case "mkdir":
        this.#name(call.path, "directory");
        return;
      case "unlink":
      case "rmdir":
        this.#name(call.path, undefined);
        return;
      default:
        call satisfies never;
    }
  }

  #open({ file, path, isEmptied }: Call & { kind: "open" }): void {
    this.#paths.set(file, path);
    if (isVolatile(path) || path === this.#root || this.#seen.get(path) === "directory") return;
    const known = this.#seen.get(path);
    if (known === undefined) {
      const fresh: FileState = { durable: new Content(Buffer.alloc(0)), pending: [] };
      this.#name(path, fresh);
      this.#files.set(file, fresh);
    } else if (known !== "directory") {
      this.#files.set(file, known);
      if (isEmptied) known.pending.push({ kind: "truncate", file, length: 0 });
    }
  }

  #write(call: Call & { kind: "write" }): void {
    const file = this.#files.get(call.file);
    if (file === undefined) return;
    if (call.isDurable) file.durable.apply(call);
    else file.pending.push(call);
  }

  #synced({ file, turn, isFailed }: Call & { kind: "synced" }): void {
    const begun = this.#syncs.get(turn);
    this.#syncs.delete(turn);
    const state = this.#files.get(file);
    if (begun === undefined) return;
    if (state !== undefined) {
      for (const each of state.pending) {
        if (!isFailed && begun.files.has(each)) state.durable.apply(each);
      }
      state.pending = state.pending.filter((each) => !begun.files.has(each));
    }
    if (isFailed) return;
    for (const name of begun.names) this.#settleName(name);
    this.#unsyncedNames = this.#unsyncedNames.filter((each) => !begun.names.has(each));
  }

  #name(path: string, file: FileState | "directory" | undefined): void {
    if (isVolatile(path)) return;
    if (file === undefined) this.#seen.delete(path);
    else this.#seen.set(path, file);
    this.#unsyncedNames.push({ path, file });
  }

  #settleName({ path, file }: Name): void {
    if (file === undefined) this.#names.delete(path);
    else this.#names.set(path, file);
  }

  /** The directory as power comes back; `leftover` is asked for every write and name that was not synced. */
  settle(leftover: () => Leftover): void {
    for (const name of this.#unsyncedNames) if (leftover() === "kept") this.#settleName(name);
    for (const [path, file] of this.#names) {
      if (file === "directory") continue;
      for (const call of file.pending) {
        const left = leftover();
        if (left === "lost") continue;
        file.durable.apply(left === "kept" ? call : halved(call));
      }
      file.pending = [];
      if (!this.#names.has(dirname(path)) && dirname(path) !== this.#root) this.#names.delete(path);
    }
    this.#mend();
  }

  /** In place: the spool's file stays the file that it is. */
  #mend(): void {
    for (const path of pathsBelow(this.#root).reverse()) {
      if (!this.#names.has(path) && !(isVolatile(path) && existsSync(dirname(path))))
        rmSync(path, { recursive: true, force: true });
    }
    const inOrder = [...this.#names].sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [path, file] of inOrder) {
      if (file === "directory") mkdirSync(path, { recursive: true });
      else if (!existsSync(path) || !readFileSync(path).equals(file.durable.bytes)) {
        if (existsSync(path)) truncateSync(path, 0);
        writeFileSync(path, file.durable.bytes, { flag: existsSync(path) ? "r+" : "w" });
      }
    }
  }
}

/** Mapped into memory, locks, sockets: nothing of them outlives the machine, or matters when it does. */
function isVolatile(path: string): boolean {
  return /\/(lock\.mdb|lock\.sqlite[^/]*|control\.sock)$/.test(path);
}

/** Bytes of a file, which grows by more than it needs to. */
class Content {
  #buffer: Buffer;
  #length: number;

  constructor(bytes: Buffer) {
    this.#buffer = bytes;
    this.#length = bytes.length;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  apply(call: Change): void {
    if (call.kind === "write") {
      const end = call.offset + call.data.length;
      if (end > this.#length) this.#resize(end);
      call.data.copy(this.#buffer, call.offset);
    } else this.#resize(call.length);
  }

  #resize(length: number): void {
    if (length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(length, 2 * this.#buffer.length));
      this.bytes.copy(larger);
      this.#buffer = larger;
    }
    if (length < this.#length) this.#buffer.fill(0, length, this.#length);
    this.#length = length;
  }
}

/** The sectors up to its middle. */
function halved(call: Change): Change {
  if (call.kind !== "write") return call;
  const middle = call.offset + call.data.length / 2;
  const end = Math.floor(middle / sectorBytes) * sectorBytes;
  return { ...call, data: call.data.subarray(0, Math.max(0, end - call.offset)) };
}

/** Directories before what is in them. */
function pathsBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? [path, ...pathsBelow(path)] : [path];
  });
}
