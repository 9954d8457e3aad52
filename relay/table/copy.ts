/**
 * The table in force and the last good resources, kept in a directory over restarts. Adapter: files only.
 * Shards are content-addressed and on disk before the index, which is swapped in by a rename.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { decodeManifest } from "../../routing/wire.ts";
import { replaceSynced } from "../synced.ts";
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

export type Kept = {
  /** Undefined where a part of it is damaged. */
  readonly wire: WireTable | undefined;
  /** Undefined where it is damaged. */
  readonly lastGood: LastGood | undefined;
  /** What is damaged. */
  readonly damage?: string;
};

export type TableCopy = {
  /** Undefined where none was ever kept. The caller checks hashes. */
  load(): Promise<Kept | undefined>;
  save(keeping: Keeping): Promise<void>;
};

type Index = {
  readonly manifest: string;
  readonly shards: readonly string[];
  readonly lastGood: LastGood["files"];
  readonly missing?: LastGood["missing"];
};

export function tableCopy(directory: string): TableCopy {
  const index = join(directory, "table.json");
  /** Shards that are known to be on disk as they should be. */
  const whole = new Set<string>();
  /** Shards that are still to be written. */
  const unsaved = new Map<string, Uint8Array>();
  return {
    async load() {
      let kept: Index;
      try {
        kept = indexIn(await readFile(index, "utf8"));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        return { wire: undefined, lastGood: undefined, damage: String(error) };
      }
      const lastGood = { files: kept.lastGood, missing: kept.missing ?? [] };
      try {
        const shards = new Map<string, Uint8Array>();
        for (const { name, sha256 } of decodeManifest(kept.manifest).shards) {
          const bytes = await readFile(join(directory, name));
          if (hashOf(bytes) !== sha256) throw new Error(`${name} is damaged`);
          shards.set(name, bytes);
          whole.add(name);
        }
        return { wire: { manifest: kept.manifest, shards }, lastGood };
      } catch (error) {
        return { wire: undefined, lastGood, damage: String(error) };
      }
    },
    async save({ manifest, shards, fresh, lastGood = { files: {}, missing: [] } }) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      for (const [name, bytes] of fresh) if (!whole.has(name)) unsaved.set(name, bytes);
      for (const [name, bytes] of unsaved) {
        if (shards.includes(name)) {
          await replaceSynced(join(directory, name), bytes);
          whole.add(name);
        }
        unsaved.delete(name);
      }
      const { files, missing } = lastGood;
      const text = JSON.stringify({ manifest, shards, lastGood: files, missing } satisfies Index);
      await replaceSynced(join(directory, "table.json"), text);
      const wanted = new Set([...shards, "table.json"]);
      for (const name of await readdir(directory)) {
        if (wanted.has(name)) continue;
        whole.delete(name);
        await rm(join(directory, name), { force: true });
      }
    },
  };
}

/** Throws where the text is no index. */
function indexIn(text: string): Index {
  const index = JSON.parse(text) as Partial<Index> | null;
  const { manifest, shards, lastGood } = index ?? {};
  const isIndex = typeof manifest === "string" && Array.isArray(shards);
  if (!isIndex || typeof lastGood !== "object" || lastGood === null) {
    throw new Error("table.json is not what was written");
  }
  return index as Index;
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
