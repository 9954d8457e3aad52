/**
 * The fault shim, built and told what to do: adapter over `cc` and the small file that the shim maps. The
 * library is kept in a cache outside the tree, by what it was built from.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { ensureDebian, type Found } from "../peers/debian.ts";

const source = join(import.meta.dirname, "shim.c");

/** As in shim.c. */
const modes = { none: 0, full: 1, broken: 2, torn: 3, before: 4, after: 5, readOnly: 6 } as const;
export const calls = { write: 1, sync: 2, create: 4, truncate: 8, name: 16, any: 31 } as const;

/** ENOSPC, EIO, EROFS; half of a write and then the end of the process; its end before or after the call. */
export type FaultMode = Exclude<keyof typeof modes, "none">;

export type Fault = {
  readonly mode: FaultMode;
  /** At which call from now on, 1 is the next. */
  readonly nth?: number;
  /** How many calls from then on; without end by default. */
  readonly times?: number;
  readonly calls?: keyof typeof calls;
};

export type Shim = {
  /** For the process that is to have it. */
  readonly environment: Readonly<Record<string, string>>;
  readonly recordFile: string;
  arm(fault: Fault): void;
  disarm(): void;
  delaySyncs(options: { readonly ms: number }): void;
  /** Calls that changed the directory, or would have, since the shim was made. */
  calls(): number;
  /** How many calls were failed, or ended the process. */
  hits(): number;
  close(): void;
};

const fields = ["mode", "countdown", "times", "calls", "delayUs", "called", "hits"] as const;

/** The library, or why there is none. */
export async function buildShim(): Promise<Found> {
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mailroute");
  const digest = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const path = join(cache, `faults-${digest}.so`);
  if (existsSync(path)) return { path };
  mkdirSync(cache, { recursive: true });
  const fresh = `${path}.${process.pid}`;
  const args = ["-O2", "-shared", "-fPIC", "-o", fresh, source, "-ldl", "-lpthread"];
  const compiler = await ensureDebian("build-essential", "cc");
  if ("missing" in compiler) return compiler;
  const { status, stderr } = spawnSync(compiler.path, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`cc: ${stderr}`);
  renameSync(fresh, path);
  return { path };
}

/** `directory` is the spool's; control and record lie in `work`, which must be another. */
export function prepareShim(options: {
  readonly library: string;
  readonly directory: string;
  readonly work: string;
}): Shim {
  const { library, directory, work } = options;
  const controlFile = join(work, "control");
  const recordFile = join(work, "record");
  const control = openSync(controlFile, "w+");
  writeSync(control, Buffer.alloc(fields.length * 4), 0, fields.length * 4, 0);
  const set = (field: (typeof fields)[number], value: number): void => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    writeSync(control, bytes, 0, 4, fields.indexOf(field) * 4);
  };
  const get = (field: (typeof fields)[number]): number => {
    const bytes = Buffer.alloc(4);
    readSync(control, bytes, 0, 4, fields.indexOf(field) * 4);
    return bytes.readInt32LE();
  };
  return {
    environment: {
      LD_PRELOAD: library,
      FAULTS_DIRECTORY: directory,
      FAULTS_CONTROL: controlFile,
      FAULTS_RECORD: recordFile,
      UV_USE_IO_URING: "0", // its writes would be no calls
    },
    recordFile,
    arm({ mode, nth = 1, times = -1, calls: kind = "any" }) {
      set("mode", modes.none);
      set("countdown", nth);
      set("times", times);
      set("calls", calls[kind]);
      set("mode", modes[mode]);
    },
    disarm: () => set("mode", modes.none),
    delaySyncs: ({ ms }) => set("delayUs", ms * 1000),
    calls: () => get("called"),
    hits: () => get("hits"),
    close: () => closeSync(control),
  };
}
