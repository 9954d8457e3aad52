/** Runs the steps of a check one after the other, and says at the end which of them failed. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";

export type Step = {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
};

const root = join(import.meta.dirname, "..");

/** Every step runs, also after a failed one; the answer is the exit code. */
export function runSteps(steps: readonly Step[]): number {
  const failed: string[] = [];
  for (const { name, command, args } of steps) {
    const startedMs = performance.now();
    const { status, error } = spawnSync(command, [...args], { cwd: root, stdio: "inherit" });
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    if (error !== undefined) console.error(`${name}: ${error.message}`);
    if (status !== 0) failed.push(name);
    console.log(`${status === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  }
  if (failed.length > 0) console.error(`failed: ${failed.join(", ")}`);
  return failed.length === 0 ? 0 : 1;
}

/** A program of a development dependency. */
export function tool(name: string): string {
  return join(root, "node_modules/.bin", name);
}
