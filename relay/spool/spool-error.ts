/** What the spool fails with, in words: the file system's reasons as one kind of error. */
/** The spool cannot be opened, read or written; the message says what to do. */
export class SpoolError extends Error {
  override readonly name = "SpoolError";
}

/** Nothing more fits. */
export function isFull(error: unknown): boolean {
  return error instanceof SpoolError && /no space|ENOSPC|EDQUOT|EFBIG/i.test(error.message);
}

export function spoolErrorOf(cause: unknown): SpoolError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SpoolError(`the spool could not be written: ${reason}`, { cause });
}
