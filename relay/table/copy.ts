/**
 * The table in force and the last good resources, kept in a directory over restarts. Adapter: files only.
 * Shards are content-addressed and written before the manifest, which is swapped in by a rename.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LastGood } from "./library.ts";

export type WireTable = {
  readonly manifest: string;
  readonly shards: ReadonlyMap<string, Uint8Array>;
};

export type TableCopy = {
  load(): Promise<{ readonly wire: WireTable; readonly lastGood: LastGood } | undefined>;
  save(wire: WireTable, lastGood: LastGood): Promise<void>;
};

type Kept = {
  readonly manifest: string;
  readonly shards: readonly string[];
  readonly lastGood: LastGood;
};

export function tableCopy(directory: string): TableCopy {
  const index = join(directory, "table.json");
  return {
    async load() {
      try {
        const kept = JSON.parse(await readFile(index, "utf8")) as Kept;
        const shards = new Map<string, Uint8Array>();
        for (const name of kept.shards) shards.set(name, await readFile(join(directory, name)));
        return { wire: { manifest: kept.manifest, shards }, lastGood: kept.lastGood };
      } catch {
        return undefined; // none yet, or damaged: then there is none
      }
    },
    async save(wire, lastGood) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const there = new Set(await readdir(directory));
      for (const [name, bytes] of wire.shards) {
        if (!there.has(name)) await writeFile(join(directory, name), bytes);
      }
      const kept: Kept = { manifest: wire.manifest, shards: [...wire.shards.keys()], lastGood };
      await writeFile(`${index}.new`, JSON.stringify(kept));
      await rename(`${index}.new`, index);
      for (const name of there) {
        const wanted = wire.shards.has(name) || name === "table.json";
        if (!wanted) await rm(join(directory, name), { force: true });
      }
    },
  };
}
