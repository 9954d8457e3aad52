/**
 * What every command shares: its shape, what it reads of its flags, and how it tells a person that
 * something is wrong. Adapter over the process's streams.
 */
export type Command = {
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  /** The answer is the exit code. Throws UsageError for wrong arguments. */
  run(args: string[]): Promise<number>;
};

export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Throws UsageError for what is no port. */
export function portOf(flag: string, text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new UsageError(`${flag} ${text}: a port is 0 to 65535`);
  }
  return port;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints each line to standard error; the answer is exit code 1. */
export function fail(lines: readonly string[]): number {
  for (const line of lines) process.stderr.write(`mailroute: ${line}\n`);
  return 1;
}
