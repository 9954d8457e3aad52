/** Programs and scripts that the tests run and wait for. Adapter: none of them outlives this process. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";

const commandMsMax = 180_000;
const scriptMsMax = 45 * 60_000;

/** What it printed. Rejects with its words where it fails or takes more than three minutes. */
export async function run(command: readonly string[], input = ""): Promise<string> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: "pipe", timeout: commandMsMax });
  child.stdin.on("error", () => {}); // it may end before it has read everything
  child.stdin.end(input);
  const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  const [stdout, stderr, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended,
  ]);
  if (code === 0) return stdout;
  const shown = command.slice(command.findIndex((each) => /^(kubectl|helm)$/.test(each)));
  throw new Error(`${shown.join(" ")}: ${stderr || stdout || `ended by ${signal}`}`);
}

/** A script of this folder, with its output shown. Rejects where it fails. */
export async function runScript(name: string, args: readonly string[]): Promise<void> {
  // A group of its own, so that everything which it has started ends with us.
  const child = spawn(join(import.meta.dirname, name), [...args], {
    stdio: ["ignore", "inherit", "inherit"],
    detached: true,
    timeout: scriptMsMax,
  });
  const end = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
  };
  process.once("exit", end);
  try {
    const [code] = (await once(child, "exit")) as [number | null];
    if (code !== 0) throw new Error(`test/cluster/${name} failed`);
  } finally {
    process.off("exit", end);
  }
}
