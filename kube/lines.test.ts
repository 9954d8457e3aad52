import assert from "node:assert/strict";
import { test } from "node:test";
import { lines } from "./lines.ts";

async function read(chunks: Iterable<Buffer>): Promise<readonly string[]> {
  const stream = async function* (): AsyncGenerator<Buffer> {
    yield* chunks;
  };
  const found: string[] = [];
  for await (const line of lines(stream())) found.push(line);
  return found;
}

const bytes = (...texts: string[]) => texts.map((text) => Buffer.from(text));

test("lines: several of one chunk, one of several chunks", async () => {
  assert.deepEqual(await read(bytes("a\nb\n")), ["a", "b"]);
  assert.deepEqual(await read(bytes("a", "b", "c\nd", "\n")), ["abc", "d"]);
});

test("lines: an empty line is a line", async () => {
  assert.deepEqual(await read(bytes("\n\na\n", "\n")), ["", "", "a", ""]);
});

test("lines: what follows the last line feed is no line", async () => {
  assert.deepEqual(await read(bytes("a\nhalf")), ["a"]);
  assert.deepEqual(await read([]), []);
});

test("lines: a character may be split among chunks", async () => {
  const text = "grüße €𝄞\nzwei\n";
  const all = Buffer.from(text);
  for (let at = 0; at <= all.length; at++) {
    assert.deepEqual(await read([all.subarray(0, at), all.subarray(at)]), ["grüße €𝄞", "zwei"]);
  }
  assert.deepEqual(await read([...all].map((byte) => Buffer.from([byte]))), ["grüße €𝄞", "zwei"]);
});

test("lines: one that never ends is refused before it fills the memory", async () => {
  const mebibyte = Buffer.alloc(1024 * 1024, "a");
  let given = 0;
  const endless = function* (): Generator<Buffer> {
    for (; given < 64; given++) yield mebibyte;
  };
  await assert.rejects(read(endless()), RangeError);
  assert.ok(given <= 33);
});
