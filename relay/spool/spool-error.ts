/** What the spool fails with, in words: LMDB's and the file system's reasons as one kind of error. */
/** The spool cannot be opened, read or written; the message says what to do. */
export class SpoolError extends Error {
  override readonly name = "SpoolError";
}

/** Nothing more fits. MDB_MAP_FULL and ENOSPC both read "full" or "space" in their words. */
export function isFull(error: unknown): boolean {
  return error instanceof SpoolError && /full|space/i.test(error.message);
}

/** What LMDB and the file system reject with, in words. */
export async function spoolErrorOf(cause: unknown): Promise<SpoolError> {
  return new SpoolError(`the spool could not be written: ${await reasonOf(cause)}`, { cause });
}

/** The same, with every reason's own promise listened to: one that rejects unheard would end the process. */
export function heard<T>(ended: PromiseSettledResult<T>[]): PromiseSettledResult<T>[] {
  for (const each of ended) if (each.status === "rejected") void reasonOf(each.reason);
  return ended;
}

/** LMDB rejects with a word and carries the reason in a promise, which nobody else would catch. */
async function reasonOf(error: unknown): Promise<string> {
  if (!(error instanceof Error)) return String(error);
  if (!("commitError" in error)) return error.message;
  try {
    await error.commitError;
    return error.message;
  } catch (inner) {
    return inner instanceof Error ? inner.message : String(inner);
  }
}
