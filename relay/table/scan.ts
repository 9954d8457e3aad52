/**
 * Reads a directory of manifests into a library. Adapter: file system only. Follows links (a mounted
 * ConfigMap is links), skips names with a leading dot, reads a file again only when it has changed.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Library } from "./library.ts";

const filesMax = 20_000;
const fileBytesMax = 16 * 1024 * 1024;
const depthMax = 8;
const isYaml = /\.ya?ml$/i;

export type Scanner = {
  /** Brings the library up to the directory; says whether anything changed. Throws where it cannot be listed. */
  scan(library: Library): Promise<boolean>;
};

export function createScanner(directory: string): Scanner {
  const seen = new Map<string, string>();
  return {
    async scan(library) {
      const files = await manifestFiles(directory);
      const there = new Set(files);
      let changed = false;
      for (const file of library.files) {
        if (there.has(file)) continue;
        library.remove(file);
        seen.delete(file);
        changed = true;
      }
      for (const file of files) {
        if (await readChanged(file, library, seen)) changed = true;
      }
      return changed;
    },
  };
}

async function readChanged(
  file: string,
  library: Library,
  seen: Map<string, string>,
): Promise<boolean> {
  let mark: string;
  try {
    const { mtimeMs, ctimeMs, size, ino } = await stat(file);
    mark = `${mtimeMs}/${ctimeMs}/${size}/${ino}`;
    if (seen.get(file) === mark) return false;
    if (size > fileBytesMax)
      library.unreadable(file, `larger than ${fileBytesMax} bytes: split it`);
    else library.read(file, await readFile(file, "utf8"));
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code ?? String(error);
    if (why === "ENOENT") return false; // deleted meanwhile: the next scan sees that
    mark = why;
    if (seen.get(file) === mark) return false;
    library.unreadable(file, `${why}: mend its permissions`);
  }
  seen.set(file, mark);
  return true;
}

/** The YAML files below a directory, in order of name. Throws where it cannot be read, or holds too many. */
export async function manifestFiles(directory: string): Promise<string[]> {
  return await filesBelow(directory, 0);
}

async function filesBelow(directory: string, depth: number): Promise<string[]> {
  const files: string[] = [];
  const entries = await readdir(directory, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith(".")) continue;
    const path = join(directory, entry.name);
    const directoryLike =
      entry.isDirectory() || (entry.isSymbolicLink() && (await isDirectory(path)));
    if (directoryLike) {
      if (depth < depthMax) files.push(...(await filesBelow(path, depth + 1)));
    } else if (isYaml.test(entry.name)) files.push(path);
    if (files.length > filesMax) {
      throw new Error(`more than ${filesMax} files below ${directory}: join some of them`);
    }
  }
  return files;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}
