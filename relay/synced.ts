/** Names and small files that last: adapter over the file system's syncs. It knows nothing of what it writes. */
import { closeSync, constants, fsyncSync, mkdirSync, openSync } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** To write over a file, or into a new one: each write is on disk when it returns, one call in place of two. */
export const overwriteFlags = constants.O_WRONLY | constants.O_DSYNC;
export const createFlags = overwriteFlags | constants.O_CREAT | constants.O_EXCL;

/** The names in it are on disk when it resolves. */
export async function syncDirectory(path: string): Promise<void> {
  await sync(path, "r");
}

/** What others have written to it is on disk when it resolves. */
export async function syncFile(path: string): Promise<void> {
  await sync(path, "r+");
}

async function sync(path: string, flags: string): Promise<void> {
  const file = await open(path, flags);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

export function syncDirectorySync(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** Makes what is missing of a directory and of those above it; their names are on disk when it returns. */
export function makeDirectorySync(path: string): void {
  const made = mkdirSync(path, { recursive: true, mode: 0o700 });
  if (made === undefined) return;
  const topmost = dirname(resolve(made));
  for (let above = dirname(resolve(path)); ; above = dirname(above)) {
    syncDirectorySync(above);
    if (above === topmost) return;
  }
}

/** Whole and synced, in place of what was there; its name lasts when its directory has been synced. */
export async function writeSynced(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.writeFile(content);
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** In place of what was there, and its name too: what is read there is the old or the new, never half of it. */
export async function replaceSynced(path: string, content: string | Uint8Array): Promise<void> {
  await writeSynced(`${path}.new`, content);
  await rename(`${path}.new`, path);
  await syncDirectory(dirname(path));
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Rejects where not all of it could be written. */
export async function writeWhole(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}
