import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { until } from "../until.testkit.ts";
import { SegmentReader } from "./segment-reader.ts";

/** Segments that are made by `write`, and how many files among them are open. */
function site(context: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-reader-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const pathOf = (segment: number): string => join(directory, String(segment));
  const reader = new SegmentReader(pathOf);
  context.after(() => reader.close());
  return {
    reader,
    pathOf,
    write: (segment: number, text: string) => writeFileSync(pathOf(segment), text),
    read: async (segment: number, at = 0, bytes = 100) =>
      (await reader.read(segment, at, bytes)).toString(),
    isOpen: (segment: number) => openFiles().includes(pathOf(segment)),
    open: () => openFiles().filter((path) => path.startsWith(directory)).length,
  };
}

function openFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap((each) => {
    try {
      return readlinkSync(join("/proc/self/fd", each));
    } catch {
      return []; // the one that lists them
    }
  });
}

test("segment reader: parts of many segments at once, with a few files open", async (context) => {
  const { write, read, open, reader } = site(context);
  const numbers = Array.from({ length: 60 }, (_, number) => number);
  for (const number of numbers) write(number, `segment ${number}.`);
  const texts = await Promise.all(
    [...numbers, ...numbers].map(async (number) => await read(number, 8)),
  );
  assert.deepEqual(
    texts,
    [...numbers, ...numbers].map((number) => `${number}.`),
  );
  await until(() => open() === 16);
  assert.equal(await read(59, 0, 7), "segment");
  assert.equal(open(), 16);
  reader.close();
  await until(() => open() === 0);
});

test("segment reader: a segment that is forgotten is closed, and what is read next is the file of its name", async (context) => {
  const { write, read, reader, isOpen, pathOf } = site(context);
  write(1, "old");
  assert.equal(await read(1), "old");
  write(2, "new");
  renameSync(pathOf(2), pathOf(1));
  assert.equal(await read(1), "old");
  const [during] = await Promise.all([read(1), reader.forget(1)]);
  assert.equal(during, "old");
  assert.equal(await read(1), "new");
  await until(() => isOpen(1) && !isOpen(2));
});

test("segment reader: what cannot be read is opened anew at the next try", async (context) => {
  const { write, read, open, pathOf } = site(context);
  await assert.rejects(read(1), /ENOENT/);
  write(1, "there");
  assert.equal(await read(1), "there");
  mkdirSync(pathOf(2));
  await assert.rejects(read(2), /EISDIR/);
  rmdirSync(pathOf(2));
  write(2, "there too");
  assert.equal(await read(2), "there too");
  await until(() => open() === 2);
});

test("segment reader: once it is closed it leaves no file open", async (context) => {
  const { write, read, open, reader } = site(context);
  write(1, "late");
  const reading = read(1);
  reader.close();
  assert.equal(await reading, "late");
  assert.equal(await read(1), "late");
  await until(() => open() === 0);
});
