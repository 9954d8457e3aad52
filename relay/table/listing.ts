/**
 * Which files a directory of manifests has: adapter, file system only. Follows links (a mounted ConfigMap
 * is links) and skips names with a leading dot. What is listed and cannot be looked at is said, not skipped.
 */
import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

const filesMax = 20_000;
const depthMax = 8;
const isYaml = /\.ya?ml$/i;

export type Listing = {
  /** In order of name. */
  readonly files: readonly string[];
  /** By path, why: links that lead nowhere, directories that cannot be listed. */
  readonly unreadable: ReadonlyMap<string, string>;
};

/** Throws where the directory itself cannot be listed, or holds too many files. */
export async function listManifests(directory: string): Promise<Listing> {
  const files: string[] = [];
  const unreadable = new Map<string, string>();
  const below = async (
    parent: string,
    entries: readonly Dirent[],
    depth: number,
  ): Promise<void> => {
    for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name.startsWith(".")) continue;
      const path = join(parent, entry.name);
      const kind = await kindOf(path, entry);
      if (kind === "gone") continue;
      if (kind === "file") {
        if (isYaml.test(entry.name)) files.push(path);
      } else if (kind === "directory") {
        const inner = depth < depthMax ? await entriesOf(path) : `deeper than ${depthMax} levels`;
        if (typeof inner === "string") unreadable.set(path, inner);
        else await below(path, inner, depth + 1);
      } else unreadable.set(path, kind.why);
      if (files.length > filesMax) {
        throw new Error(`more than ${filesMax} files below ${directory}: join some of them`);
      }
    }
  };
  await below(directory, await readdir(directory, { withFileTypes: true }), 0);
  return { files, unreadable };
}

/** Entries, or why there are none; a directory that is deleted meanwhile has none. */
async function entriesOf(path: string): Promise<Dirent[] | string> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    return code === "ENOENT" ? [] : code;
  }
}

async function kindOf(
  path: string,
  entry: Dirent,
): Promise<"directory" | "file" | "gone" | { readonly why: string }> {
  if (entry.isDirectory()) return "directory";
  if (!entry.isSymbolicLink()) return "file";
  try {
    return (await stat(path)).isDirectory() ? "directory" : "file";
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    return { why: code === "ENOENT" ? "the link leads nowhere" : code };
  }
}
