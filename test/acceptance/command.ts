/** Runs the `mailroute` command as people do, and keeps what it says. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

export const root = join(import.meta.dirname, "../..");

export type Said = {
  readonly code: number | null;
  readonly out: readonly string[];
  readonly err: string;
};

export function mailroute(args: readonly string[], cwd = root): Said {
  const command = [join(root, "cli/main.ts"), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, {
    cwd,
    encoding: "utf8",
    timeout: 15_000,
  });
  return { code: status, out: stdout.trimEnd().split("\n"), err: stderr };
}

/** A line for a users file: what `mailroute hash-password` makes of it. */
export function hashOf(password: string): string {
  const command = [join(root, "cli/main.ts"), "hash-password"];
  const { stdout } = spawnSync(process.execPath, command, { input: password, encoding: "utf8" });
  return stdout.trim();
}
