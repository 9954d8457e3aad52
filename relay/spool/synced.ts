/** Names and small files that last: adapter over the file system's syncs. It knows nothing of what it writes. */
import { closeSync, fsyncSync, openSync } from "node:fs";
import { open, rm } from "node:fs/promises";

/** The names in it are on disk when it resolves. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
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

/** Whole and synced, in place of what was there; its name lasts when its directory has been synced. */
export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    await file.writeFile(bytes);
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** Rejects where so much cannot be written there; leaves nothing. */
export async function tryWriting(path: string, bytes: number): Promise<void> {
  try {
    await writeSynced(path, Buffer.alloc(bytes));
  } finally {
    await rm(path, { force: true });
  }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
