import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { bufferedWriter } from "./buffered-writer.ts";

test("log: the lines of a turn are one write, at its end", async () => {
  const written: string[] = [];
  const output = bufferedWriter((text) => void written.push(text));
  output.write("a\n");
  output.write("b\n");
  assert.deepEqual(written, []);
  await turn();
  assert.deepEqual(written, ["a\nb\n"]);
});

test("log: under load lines are gathered, and all are written in their order, the last ones by flush", async () => {
  const written: string[] = [];
  const output = bufferedWriter((text) => void written.push(text));
  const lines = Array.from({ length: 5000 }, (_, number) => `${number}\n`);
  for (const line of lines) {
    output.write(line);
    await turn();
  }
  output.flush();
  assert.equal(written.join(""), lines.join(""));
  assert.ok(written.length < lines.length / 2, `${written.length} writes`);
});
