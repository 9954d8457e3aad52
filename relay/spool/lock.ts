/**
 * The spool's lock: an exclusive transaction, never ended, in a small SQLite file of its own. That is a
 * kernel file lock (Node has no call for one): it goes when the process dies, however it dies, so there
 * are no stale locks to judge by process ids, which mean nothing between containers.
 */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SpoolError } from "./spool-error.ts";

export type Lock = { release(): void };

/** SQLITE_BUSY */
const busy = 5;

/** Undefined when a living process, or another opener in this one, holds it. Throws where it cannot be made. */
export function acquireLock(directory: string): Lock | undefined {
  const database = new DatabaseSync(join(directory, "lock.sqlite"), { timeout: 0 });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === busy) return undefined;
    throw error;
  }
  return { release: () => database.close() };
}

/** As acquireLock. Throws SpoolError. */
export function lockOf(directory: string): Lock | undefined {
  try {
    return acquireLock(directory);
  } catch (error) {
    const words = `cannot lock the spool ${directory}: is the volume read-only or full?`;
    throw new SpoolError(words, { cause: error });
  }
}
