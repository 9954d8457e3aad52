/**
 * The table in force and the last good resources, kept in a directory over restarts. Adapter: files only.
 * Shards are content-addressed and written before the index, which is swapped in by a rename.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LastGood } from "./library.ts";

export type WireTable = {
  readonly manifest: string;
  readonly shards: ReadonlyMap<string, Uint8Array>;
};

export type Keeping = {
  readonly manifest: string;
  /** Names of all shards of the manifest. */
  readonly shards: readonly string[];
  /** Those that may not have been kept before. */
  readonly fresh: ReadonlyMap<string, Uint8Array>;
  /** Of a directory of manifests; the operator's tables have none. */
  readonly lastGood?: LastGood;
};

export type TableCopy = {
  /** Undefined where none was kept, or it is damaged. The caller checks hashes. */
  load(): Promise<{ readonly wire: WireTable; readonly lastGood: LastGood } | undefined>;
  save(keeping: Keeping): Promise<void>;
};

type Index = {
  readonly manifest: string;
  readonly shards: readonly string[];
  readonly lastGood: LastGood;
};

export function tableCopy(directory: string): TableCopy {
  const index = join(directory, "table.json");
  return {
    async load() {
      try {
        const kept = JSON.parse(await readFile(index, "utf8")) as Index;
        const shards = new Map<string, Uint8Array>();
        for (const name of kept.shards) shards.set(name, await readFile(join(directory, name)));
        return { wire: { manifest: kept.manifest, shards }, lastGood: kept.lastGood };
      } catch {
        return undefined;
      }
    },
    async save({ manifest, shards, fresh, lastGood = {} }) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const there = new Set(await readdir(directory));
      for (const [name, bytes] of fresh) {
        if (!there.has(name)) await writeWhole(join(directory, name), bytes);
      }
      await writeWhole(index, JSON.stringify({ manifest, shards, lastGood } satisfies Index));
      const wanted = new Set([...shards, "table.json"]);
      for (const name of there) {
        if (!wanted.has(name)) await rm(join(directory, name), { force: true });
      }
    },
  };
}

/** By rename: a name is never there with half its content. */
async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
}
