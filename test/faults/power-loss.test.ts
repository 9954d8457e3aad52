/** The shim and the loss of power, on a process that writes files: what they show of a relay is as good as this. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { skipReason } from "../peers/debian.ts";
import { Disk, type Leftover } from "./power-loss.ts";
import { buildShim, type Fault, prepareShim } from "./shim.ts";

const built = await buildShim();
const skip = skipReason(built);

/** Runs the program in an empty directory under the shim, with the fault from its first call on. */
function run(context: TestContext, program: string, fault?: Fault) {
  const base = mkdtempSync(join(tmpdir(), "mailroute-faults-"));
  context.after(() => rmSync(base, { recursive: true, force: true }));
  const directory = join(base, "spool");
  mkdirSync(directory);
  const library = "path" in built ? built.path : "";
  const shim = prepareShim({ library, directory, work: base });
  context.after(() => shim.close());
  const disk = new Disk(directory);
  if (fault !== undefined) shim.arm(fault);
  const script = `const fs = require("node:fs"); const dir = ${JSON.stringify(directory)};
    const sync = (path) => { const fd = fs.openSync(path); fs.fsyncSync(fd); fs.closeSync(fd); };
    ${program}`;
  const { status, signal, stderr } = spawnSync(process.execPath, ["--eval", script], {
    env: { ...process.env, ...shim.environment },
    encoding: "utf8",
  });
  const lose = (leftover: Leftover): void => {
    disk.replay(readFileSync(shim.recordFile));
    disk.settle(() => leftover);
  };
  const text = (name: string): string | undefined =>
    existsSync(join(directory, name)) ? readFileSync(join(directory, name), "latin1") : undefined;
  return { status, signal, stderr, lose, text, shim };
}

const writeTwo = `
  fs.writeFileSync(dir + "/a", "synced");
  sync(dir + "/a"); sync(dir);
  fs.appendFileSync(dir + "/a", " and " + "x".repeat(2000));
  fs.writeFileSync(dir + "/b", "never");`;

for (const [leftover, a, b] of [
  ["lost", 6, undefined],
  ["half", 512, undefined],
  ["kept", 2011, "never"],
] as const) {
  test(`power loss: of what was not synced all is ${leftover}; what was stays`, {
    skip,
  }, (context) => {
    const { lose, text, stderr } = run(context, writeTwo);
    assert.equal(text("a")?.length, 2011, stderr);
    lose(leftover);
    assert.ok(text("a")?.startsWith("synced"));
    assert.equal(text("a")?.length, a);
    assert.equal(text("b"), b);
  });
}

test("power loss: a file whose directory was never synced is gone, and so is a rename", {
  skip,
}, (context) => {
  const program = `
    fs.writeFileSync(dir + "/a", "old"); sync(dir + "/a"); sync(dir);
    fs.writeFileSync(dir + "/a.new", "new"); sync(dir + "/a.new");
    fs.renameSync(dir + "/a.new", dir + "/a");
    fs.mkdirSync(dir + "/sub"); fs.writeFileSync(dir + "/sub/c", "c"); sync(dir + "/sub/c"); sync(dir + "/sub");`;
  const { lose, text } = run(context, program);
  assert.equal(text("a"), "new");
  lose("lost");
  assert.equal(text("a"), "old");
  assert.equal(text("sub/c"), undefined);
});

test("power loss: what a failed sync did not write is not written by the next", {
  skip,
}, (context) => {
  const program = `
    fs.writeFileSync(dir + "/a", "lost");
    sync(dir);
    try { sync(dir + "/a"); } catch (error) { console.error(error.code); }
    sync(dir + "/a");`;
  const { lose, text, stderr } = run(context, program, {
    mode: "broken",
    calls: "sync",
    nth: 2,
    times: 1,
  });
  assert.match(stderr, /EIO/);
  lose("lost");
  assert.equal(text("a"), "");
});

for (const [mode, code] of [
  ["full", "ENOSPC"],
  ["broken", "EIO"],
  ["readOnly", "EROFS"],
] as const) {
  test(`faults: the second write fails with ${code}, and no other`, { skip }, (context) => {
    const program = `
      for (const name of ["a", "b", "c"]) {
        try { fs.writeFileSync(dir + "/" + name, name); } catch (error) { console.error(name, error.code); }
      }`;
    const { stderr, text, shim } = run(context, program, {
      mode,
      calls: "write",
      nth: 2,
      times: 1,
    });
    assert.equal(stderr.trim(), `b ${code}`);
    assert.deepEqual([text("a"), text("b"), text("c")], ["a", "", "c"]);
    assert.equal(shim.hits(), 1);
  });
}

for (const [mode, length] of [
  ["before", 0],
  ["torn", 1024],
  ["after", 2048],
] as const) {
  test(`faults: a process ended at a write (${mode}) has written ${length} of 2048 octets`, {
    skip,
  }, (context) => {
    const program = `fs.writeFileSync(dir + "/a", "x".repeat(2048)); console.error("alive");`;
    const { signal, stderr, text } = run(context, program, { mode, calls: "write" });
    assert.deepEqual([signal, stderr], ["SIGKILL", ""]);
    assert.equal(text("a")?.length, length);
  });
}
