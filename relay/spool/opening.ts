/**
 * The first steps into a spool: its directory, its lock, and what its label says of who may use it. Adapter. It knows
 * nothing of what is in the journal.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { makeDirectorySync } from "../synced.ts";
import { freshLabel, type Label, readLabel, writeLabel } from "./label.ts";
import { acquireLock, type Lock } from "./lock.ts";
import { segmentsIn } from "./segment-files.ts";
import { SpoolError } from "./spool-error.ts";

export type OpeningOptions = {
  readonly directory: string;
  readonly owner: string;
  /** It takes no mail, and may open what no relay may use any more. */
  readonly isDrain?: true;
};

/** Throws SpoolError where there is none and none can be made. */
export function makeDirectory(directory: string): void {
  try {
    makeDirectorySync(directory);
  } catch (error) {
    throw new SpoolError(
      `cannot make the spool directory ${directory}: make it, or let the relay write there`,
      { cause: error },
    );
  }
}

/** Throws SpoolError where another has it. */
export function lockSpool(directory: string): Lock {
  const lock = tryLock(directory);
  if (lock !== undefined) return lock;
  throw new SpoolError(
    `the spool ${directory} is in use by another relay: stop that one, or give this one a spool.directory of its own`,
  );
}

function tryLock(directory: string): Lock | undefined {
  try {
    return acquireLock(directory);
  } catch (error) {
    throw new SpoolError(`cannot lock the spool ${directory}: is the volume read-only or full?`, {
      cause: error,
    });
  }
}

/** What the spool says it is; a new one's is written. Throws SpoolError where this relay may not use it. */
export async function labelOf({ directory, owner, isDrain }: OpeningOptions): Promise<Label> {
  const label = readLabel(directory);
  if (label === undefined) {
    if (existsSync(join(directory, "data.mdb"))) {
      throw new SpoolError(
        `the spool ${directory} is LMDB, of a version before the first release: let that version deliver it, then delete the directory`,
      );
    }
    if (segmentsIn(directory).length > 0) {
      throw new SpoolError(
        `the spool ${directory} has mail in journal/ and no spool.json: put that back from a copy, or give the relay another spool.directory`,
      );
    }
    const fresh = freshLabel(owner);
    await writeLabel(directory, fresh);
    return fresh;
  }
  if (label.retired === true && isDrain !== true) {
    throw new SpoolError(
      `the spool ${directory} has been drained, and its volume is being deleted: delete the claim, so that another is made`,
    );
  }
  if (label.owner !== owner) {
    throw new SpoolError(
      `the spool ${directory} belongs to "${label.owner}", this relay is "${owner}": give it its own, or set spool.owner to "${label.owner}" to take it over`,
    );
  }
  return label;
}
