/** Programs and scripts that the tests run and wait for. Adapter: none of them outlives this process. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const commandMsMax = 180_000;
const scriptMsMax = 45 * 60_000;
const running = new Set<ChildProcess>();

process.once("exit", () => {
  for (const { pid } of running) {
    try {
      if (pid !== undefined) process.kill(-pid, "SIGTERM"); // its group: what it has started, too
    } catch {
      // it has just ended
    }
  }
});

/** What it printed. Rejects with its words where it fails or takes more than three minutes. */
export async function run(command: readonly string[], input = ""): Promise<string> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: "pipe", detached: true, timeout: commandMsMax });
  child.stdin.on("error", () => {}); // it may end before it has read everything
  child.stdin.end(input);
  const [code, stdout, stderr] = await Promise.all([
    ended(child),
    text(child.stdout),
    text(child.stderr),
  ]);
  if (code === 0) return stdout;
  const shown = command.slice(command.findIndex((each) => /^(kubectl|helm)$/.test(each)));
  throw new Error(`${shown.join(" ")}: ${stderr || stdout || "it was ended"}`);
}

/** A script of this folder, with its output shown. Rejects where it fails. */
export async function runScript(name: string, args: readonly string[]): Promise<void> {
  const child = spawn(join(import.meta.dirname, name), [...args], {
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
    timeout: scriptMsMax,
  });
  if ((await ended(child)) !== 0) throw new Error(`test/cluster/${name} failed`);
}

async function ended(child: ChildProcess): Promise<number | null> {
  running.add(child);
  try {
    const [code] = (await once(child, "exit")) as [number | null];
    return code;
  } finally {
    running.delete(child);
  }
}
