/**
 * The spool with every one of its file system calls broken in turn: the process ends before it, in it or after it,
 * or it fails; then power is lost or not. What was answered is there, whole; what was refused is not.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { seeded } from "../../relay/seeded.testkit.ts";
import { Spool } from "../../relay/spool/spool.ts";
import { skipReason } from "../peers/debian.ts";
import { Disk, type Leftover } from "./power-loss.ts";
import { buildShim, type Fault, prepareShim } from "./shim.ts";
import { keptAfter, type Script, type Steps, scriptOf } from "./spool-steps.ts";

const built = await buildShim();
const skip = skipReason(built);
const seed = Number(process.env["MAILROUTE_SEED"] ?? 20_261_126);
/** All kinds of faults at every call; else one kind, by the seed, at a few. */
const isLong = process.env["MAILROUTE_CRASH"] === "long";
const runsUsually = 8;
const limits = { bytesMax: 1e9, messagesMax: 1000, freeBytesMin: 0 };

/** What the child said, and how many calls it made. */
type Run = {
  readonly held: number[];
  readonly refused: number[];
  readonly words: string;
  readonly calls: number;
};

/** One life of a spool under a fault, and what is found afterwards; throws where that is not what it must be. */
async function live(
  { name, steps, below = "" }: Script,
  fault: Fault | undefined,
  leftover: (() => Leftover) | undefined,
): Promise<Run> {
  const base = mkdtempSync(join(tmpdir(), "mailroute-faults-"));
  try {
    const directory = join(base, "spool");
    mkdirSync(directory);
    const shim = prepareShim({ library: "path" in built ? built.path : "", directory, work: base });
    if (fault !== undefined) shim.arm(fault);
    writeFileSync(shim.recordFile, "");
    const disk = new Disk(directory);
    const { stdout, stderr, status, signal } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, "spool-child.ts"), directory, name],
      { env: { ...process.env, ...shim.environment }, encoding: "utf8", timeout: 60_000 },
    );
    assert.ok(signal === "SIGKILL" || status === 0, `${status ?? signal}: ${stderr}${stdout}`);
    const numbers = (word: string): number[] =>
      [...stdout.matchAll(new RegExp(`^${word} (\\d+)`, "gm"))].map(([, number]) => Number(number));
    const run = {
      held: numbers("held"),
      refused: numbers("refused"),
      words: stdout,
      calls: shim.calls(),
    };
    shim.close();
    if (leftover !== undefined) {
      disk.replay(readFileSync(shim.recordFile));
      disk.settle(leftover);
    }
    await examine(join(directory, below), steps, run);
    return run;
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

/** Everything that was answered is there; beside it at most the step under way. */
async function examine(
  directory: string,
  steps: Steps,
  { held, refused, words }: Run,
): Promise<void> {
  const spool = await Spool.open({ directory, owner: "relay.test", limits });
  const stored = [...spool.list((id) => assert.fail(`${id} is corrupt after: ${words}`))];
  await spool.setAside();
  const found = new Map(stored.map(({ envelope, state }) => [envelope.id, state]));
  for (const { envelope } of stored) {
    const body = await spool.body(envelope);
    assert.ok(Buffer.isBuffer(body), `${envelope.id}: ${String(body)} after: ${words}`);
  }
  await spool.close();
  const next = Math.max(-1, ...held, ...refused) + 1;
  const may = [keptAfter(steps, held)];
  if (next < steps.length) may.push(keptAfter(steps, [...held, next]));
  const text = (kept: ReadonlyMap<string, unknown>): string => JSON.stringify([...kept].sort());
  assert.ok(
    may.some((each) => text(each) === text(found)),
    `found ${text(found)}\nafter ${words}`,
  );
}

/** Every call of a life without faults, and what is done at it. */
async function eachCall(
  script: Script,
  faults: readonly Fault[],
  context: { diagnostic(text: string): void },
) {
  const random = seeded(seed);
  const { calls, held } = await live(script, undefined, undefined);
  assert.equal(held.length, script.steps.length);
  assert.ok(calls > 30, "the shim sees the calls");
  const leftovers = [undefined, ...(["lost", "half", "kept"] as const)];
  let runs = 0;
  const step = isLong ? 1 : Math.ceil(calls / runsUsually);
  for (let nth = 1 + Math.floor(random() * step); nth <= calls; nth += step) {
    const chosen = isLong ? faults : [faults[Math.floor(random() * faults.length)] as Fault];
    for (const fault of chosen) {
      const kind = leftovers[Math.floor(random() * leftovers.length)];
      const leftover = kind === undefined ? undefined : () => (random() < 0.5 ? kind : "lost");
      try {
        await live(script, { ...fault, nth }, leftover);
      } catch (error) {
        throw new Error(`${JSON.stringify({ ...fault, nth, kind })} MAILROUTE_SEED=${seed}`, {
          cause: error,
        });
      }
      runs += 1;
    }
  }
  context.diagnostic(`${calls} calls, ${runs} runs, MAILROUTE_SEED=${seed}`);
}

for (const script of [scriptOf("few"), scriptOf("big"), scriptOf("many")]) {
  test(`spool: a process that ends at any of its file system calls (${script.name} steps) loses nothing, with and without a loss of power`, {
    skip,
  }, async (context) => {
    await eachCall(script, [{ mode: "before" }, { mode: "torn" }, { mode: "after" }], context);
  });

  test(`spool: any file system call that fails (${script.name} steps) is answered, and costs nothing that was`, {
    skip,
  }, async (context) => {
    const once = { times: 1 };
    const faults: Fault[] = [
      { mode: "full", ...once },
      { mode: "broken", ...once },
      { mode: "broken", calls: "sync", ...once },
      { mode: "full" },
      { mode: "broken" },
      { mode: "readOnly" },
    ];
    await eachCall(script, faults, context);
  });
}

test("spool: after a loss of power it is there with all that was answered, however deep its directory was made", {
  skip,
}, async () => {
  const script = scriptOf("deep");
  const { held } = await live(script, undefined, () => "lost");
  assert.equal(held.length, script.steps.length);
});
