/**
 * Runs the steps of a check, one after the other or one beside the others, and says at the end which of them failed.
 * A signal is passed on to what runs, and is waited for: nothing that a step has started is left behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Step = {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
};

const root = join(import.meta.dirname, "..");
const running = new Set<ChildProcess>();
let isInterrupted = false;

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (isInterrupted) process.exit(1);
    isInterrupted = true;
    for (const child of running) child.kill("SIGTERM");
  });
}

/** Every step runs, also after a failed one; the answer is the names of those that failed. */
export async function runSteps(steps: readonly Step[]): Promise<readonly string[]> {
  const failed: string[] = [];
  for (const step of steps) {
    const ended = isInterrupted ? undefined : await endOf(step, "inherit");
    if (ended === undefined || !told(step, ended)) failed.push(step.name);
  }
  return failed;
}

/** A step beside others. What it says is shown as a whole when the answer is called, which waits for its end. */
export function runAside(step: Step): () => Promise<readonly string[]> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-step-"));
  const file = join(directory, "output");
  const output = openSync(file, "a");
  const ended = endOf(step, output);
  return async () => {
    const end = await ended;
    closeSync(output);
    console.log(`\n${step.name}:\n${readFileSync(file, "utf8")}`);
    rmSync(directory, { recursive: true, force: true });
    return told(step, end) ? [] : [step.name];
  };
}

/** The last line, and the exit code. */
export function conclude(failed: readonly string[]): void {
  if (failed.length > 0) console.error(`failed: ${failed.join(", ")}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

type End = { readonly isOk: boolean; readonly seconds: string };

async function endOf({ name, command, args }: Step, output: "inherit" | number): Promise<End> {
  const startedMs = performance.now();
  const child = spawn(command, [...args], { cwd: root, stdio: ["ignore", output, output] });
  running.add(child);
  const code = await once(child, "exit").then(
    ([status]) => status as number | null,
    (error: Error) => {
      console.error(`${name}: ${error.message}`);
      return null;
    },
  );
  running.delete(child);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  return { isOk: code === 0 && !isInterrupted, seconds };
}

function told({ name }: Step, { isOk, seconds }: End): boolean {
  console.log(`${isOk ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  return isOk;
}

/** A program of a development dependency. */
export function tool(name: string): string {
  return join(root, "node_modules/.bin", name);
}
