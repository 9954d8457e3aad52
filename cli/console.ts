/** What every command shares: its shape, and how it tells a person that something is wrong. */

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

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints each line to standard error; the answer is exit code 1. */
export function fail(lines: readonly string[]): number {
  for (const line of lines) process.stderr.write(`mailroute: ${line}\n`);
  return 1;
}
