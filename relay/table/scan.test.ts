import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Library } from "./library.ts";
import { checkResource, hasReadableKeys } from "./resources.ts";
import { createScanner } from "./scan.ts";

const route = (name: string, host = "a.test"): string => `apiVersion: mailroute.dev/v1alpha1
kind: MailRoute
metadata: {name: ${name}, namespace: mail}
spec:
  suffixes: [${name}.test]
  target: {hosts: [{host: ${host}}]}
`;

type Site = {
  readonly library: Library;
  path(name: string): string;
  /** Written in place, as most editors do. */
  write(name: string, text: string): void;
  /** Written whole, by rename. */
  swap(name: string, text: string): void;
  ids(): readonly string[];
  hosts(): string;
  complaints(): string;
  scan(): Promise<boolean>;
  /** Scans as the thread does, until nothing is left to do; the answer is how long that took. */
  settle(): Promise<number>;
};

function site(context: TestContext): Site {
  const root = mkdtempSync(join(tmpdir(), "mailroute-scan-"));
  const directory = join(root, "routes");
  mkdirSync(directory);
  context.after(() => rmSync(root, { recursive: true, force: true }));
  const library = new Library({ namespace: "mail", check: checkResource, hasReadableKeys });
  const scanner = createScanner(directory);
  const path = (name: string): string => join(directory, name);
  const view = (): ReturnType<Library["view"]> => library.view();
  return {
    library,
    path,
    write: (name, text) => writeFileSync(path(name), text),
    swap(name, text) {
      writeFileSync(path(".new"), text);
      renameSync(path(".new"), path(name));
    },
    ids: () => view().resources.map(({ id }) => id),
    hosts: () => JSON.stringify(view().resources.map(({ resource }) => resource)),
    complaints: () =>
      view()
        .complaints.map(({ file, text }) => `${file.slice(directory.length + 1)}: ${text}`)
        .join("\n"),
    scan: async () => (await scanner.scan(library)).changed,
    async settle() {
      const startedMs = performance.now();
      for (;;) {
        const { againMs } = await scanner.scan(library);
        if (againMs === undefined) return performance.now() - startedMs;
        await sleep(againMs);
      }
    },
  };
}

/** As if the file had been there for an hour; its ctime cannot be set, so it needs two looks. */
function aged(path: string): void {
  const hourAgo = Date.now() / 1000 - 3600;
  utimesSync(path, hourAgo, hourAgo);
}

test("scan: a file is believed when it has stood still, and an edit within a second", async (context) => {
  const { write, scan, settle, ids, hosts } = site(context);
  write("a.yaml", route("a"));
  assert.equal(await scan(), false);
  assert.deepEqual(ids(), [], "seen once");
  await settle();
  assert.deepEqual(ids(), ["mail/a"]);
  write("a.yaml", route("a", "b.test"));
  assert.equal(await scan(), false);
  assert.match(hosts(), /a\.test"}/);
  assert.ok((await settle()) < 800);
  assert.match(hosts(), /b\.test"}/);
  assert.equal(await scan(), false);
});

test("scan: a date in the past makes nobody believe a file sooner", async (context) => {
  const { write, path, scan, ids, settle } = site(context);
  write("a.yaml", route("a"));
  aged(path("a.yaml"));
  await scan();
  assert.deepEqual(ids(), []);
  await settle();
  assert.deepEqual(ids(), ["mail/a"]);
});

test("scan: a file that is replaced every 200 ms is followed", async (context) => {
  const { swap, scan, settle, hosts } = site(context);
  swap("a.yaml", route("a"));
  await settle();
  for (let turn = 0; turn < 5; turn++) {
    swap("a.yaml", route("a", `h${turn}.test`));
    await sleep(110);
    await scan();
    assert.match(hosts(), new RegExp(`h${turn}\\.test`));
    await sleep(90);
  }
});

test("scan: a text that goes on being written is not read in between", async (context) => {
  const { write, scan, settle, ids } = site(context);
  const whole = `${route("a")}---\n${route("b")}`;
  write("a.yaml", whole);
  await settle();
  for (let turn = 0; turn < 3; turn++) {
    write("a.yaml", route("a"));
    for (let look = 0; look < 6; look++) {
      await scan();
      assert.deepEqual(ids(), ["mail/a", "mail/b"]);
      await sleep(100);
    }
    write("a.yaml", whole);
    await settle();
  }
});

test("scan: what is less than before counts only at a second look, a second later", async (context) => {
  const { write, settle, ids } = site(context);
  write("a.yaml", `${route("a")}---\n${route("b")}`);
  await settle();
  write("a.yaml", route("a"));
  assert.ok((await settle()) >= 1290);
  assert.deepEqual(ids(), ["mail/a"]);
});

test("scan: without a newline at its end a file is unfinished for two seconds", async (context) => {
  const { write, settle, hosts } = site(context);
  write("a.yaml", route("a", "a.test"));
  await settle();
  write("a.yaml", route("a", "b.test").trimEnd());
  assert.ok((await settle()) >= 1900);
  assert.match(hosts(), /b\.test"}/);
});

test("scan: a file that changes all the time is complained of and keeps its state", async (context) => {
  const { write, scan, settle, ids, complaints } = site(context);
  write("a.yaml", route("a"));
  await settle();
  const endMs = Date.now() + 5600;
  for (let turn = 0; Date.now() < endMs; turn++) {
    write("a.yaml", `${route("b")}# ${"x".repeat(turn)}\n`);
    await scan();
    await sleep(100);
  }
  assert.deepEqual(ids(), ["mail/a"]);
  assert.match(complaints(), /^a\.yaml: cannot be read: it is being written all the time$/);
});

test("scan: a link that leads nowhere keeps what was read through it, and is complained of", async (context) => {
  const { library, write, path, settle, ids, complaints } = site(context);
  write(".target", route("a"));
  symlinkSync(path(".target"), path("a.yaml"));
  mkdirSync(path("../team"));
  writeFileSync(path("../team/b.yaml"), route("b"));
  symlinkSync("../team", path("team"));
  await settle();
  assert.deepEqual(ids(), ["mail/a", "mail/b"]);
  rmSync(path(".target"));
  renameSync(path("../team"), path("../gone"));
  await sleep(1100);
  await settle();
  assert.deepEqual(ids(), ["mail/a", "mail/b"]);
  assert.match(complaints(), /^a\.yaml: cannot be read: the link leads nowhere$/m);
  assert.match(complaints(), /^team: cannot be read: the link leads nowhere$/m);
  assert.equal(library.view().incomplete, false);
  renameSync(path("../gone"), path("../team"));
  rmSync(path("a.yaml"));
  await settle();
  assert.deepEqual(ids(), ["mail/b"]);
  assert.equal(complaints(), "");
});

test("scan: at the first start a link that leads nowhere makes the table incomplete", async (context) => {
  const { library, write, path, settle } = site(context);
  write("a.yaml", route("a"));
  symlinkSync("/nowhere/team", path("team"));
  await settle();
  assert.equal(library.view().incomplete, true);
  rmSync(path("team"));
  await settle();
  assert.equal(library.view().incomplete, false);
});

test("scan: a pipe or a file of more than 2 MiB is complained of and holds nothing up", async (context) => {
  const { write, path, settle, ids, complaints } = site(context);
  execFileSync("sh", ["-c", 'mkfifo "$0"', path("0.yaml")]);
  write("1.yaml", "# large\n".repeat(300_000));
  write("a.yaml", route("a"));
  assert.ok((await settle()) < 2000);
  assert.deepEqual(ids(), ["mail/a"]);
  assert.match(complaints(), /^0\.yaml: cannot be read: it is no regular file/m);
  assert.match(complaints(), /^1\.yaml: cannot be read: larger than 2097152 bytes \(2 MiB\)/m);
});

test("scan: a deleted file counts after a second, and with all others that are being deleted", async (context) => {
  const { write, path, scan, settle, ids } = site(context);
  const names = ["a", "b", "c", "d"];
  for (const name of names) write(`${name}.yaml`, route(name));
  await settle();
  for (const name of names.slice(1)) {
    rmSync(path(`${name}.yaml`));
    await scan();
    assert.equal(ids().length, 4);
    await sleep(600);
  }
  await settle();
  assert.deepEqual(ids(), ["mail/a"]);
});

test("scan: a file that is renamed and made unreadable at once keeps its routes until that is mended", async (context) => {
  const { write, path, settle, ids, complaints } = site(context);
  write("a.yaml", route("a"));
  write("b.yaml", route("b"));
  await settle();
  rmSync(path("b.yaml"));
  write("b2.yaml", "kind: MailRoute\nspec: [\n");
  await settle();
  await sleep(1100);
  await settle();
  assert.deepEqual(ids(), ["mail/a", "mail/b"]);
  assert.match(complaints(), /^b\.yaml: is gone, but .*b2\.yaml cannot be read/m);
  write("b2.yaml", route("c"));
  await settle();
  assert.deepEqual(ids(), ["mail/a", "mail/c"]);
  assert.equal(complaints(), "");
});
