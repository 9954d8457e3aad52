/** BDAT's chunks against a reading of RFC 3030 section 2 that takes one byte at a time, at every split. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChunkReader, parseChunkSize } from "./chunk-reader.ts";

const sizes: readonly (readonly [string, unknown])[] = [
  ["5", { octets: 5, part: "more" }],
  ["0 LAST", { octets: 0, part: "last" }],
  ["0012 last", { octets: 12, part: "last" }],
  ["5  LAST", { octets: 5, part: "last" }],
  ["", undefined],
  ["LAST", undefined],
  ["5 FIRST", undefined],
  ["5LAST", undefined],
  ["-5", undefined],
  ["+5", undefined],
  ["5.0", undefined],
  ["0x5", undefined],
  ["5 LAST LAST", undefined],
  ["٥ LAST", undefined],
];

for (const [argument, want] of sizes) {
  test(`BDAT: "${argument}" announces ${JSON.stringify(want) ?? "nothing that can be counted"}`, () =>
    assert.deepEqual(parseChunkSize(argument), want));
}

type Taken = { text: string; rest: string };

/** Reads a chunk of `octets` from pieces, and gives what is left of them. */
function take(reader: ChunkReader, octets: number, pieces: readonly string[]): Taken | undefined {
  reader.expect(octets);
  for (const [i, piece] of pieces.entries()) {
    const input = Buffer.from(piece, "latin1");
    const end = reader.feed(input, 0);
    if (end < 0) continue;
    const rest = input.toString("latin1", end) + pieces.slice(i + 1).join("");
    const { chunks, bytes } = reader.body();
    const text = Buffer.concat(chunks).toString("latin1");
    assert.equal(bytes, text.length);
    return { text, rest };
  }
  return undefined;
}

/** What would end DATA, a line or a session ends no chunk, and what follows it begins right there. */
const tricky = ["\r\n.\r\n", ".\r\nQUIT\r\n", "BDAT 3 LAST\r\n", "\n.\n\r.\r\0", "..\r\n\r\n"];

for (const text of tricky) {
  test(`BDAT: the octets of ${JSON.stringify(text)} are the body, whatever the count and the split`, () => {
    const input = `${text}RSET\r\n`;
    for (let octets = 0; octets <= input.length; octets += 1) {
      const want = { text: input.slice(0, octets), rest: input.slice(octets) };
      const read = (pieces: readonly string[]) =>
        take(new ChunkReader({ bytesMax: 1000 }), octets, pieces);
      assert.deepEqual(read([...input]), want);
      for (let cut = 0; cut <= input.length; cut += 1) {
        assert.deepEqual(read([input.slice(0, cut), input.slice(cut)]), want, `${octets} ${cut}`);
      }
    }
    assert.equal(take(new ChunkReader({ bytesMax: 1000 }), input.length + 1, [input]), undefined);
  });
}

test("BDAT: a CRLF on both sides of a chunk's end is a line end, and faults are counted over chunks", () => {
  const reader = new ChunkReader({ bytesMax: 1000 });
  for (const chunk of ["Subject: x\r", "\nab", "cd\r", "x\n\0"]) {
    reader.expect(chunk.length);
    assert.equal(reader.feed(Buffer.from(chunk), 0), chunk.length);
  }
  const { faults } = reader.body();
  assert.deepEqual(faults, { bareCr: 1, bareLf: 1, nul: 1, longestLine: 10 });
});

test("BDAT: many small chunks cost no more than their bytes, and none beyond the limit", () => {
  const reader = new ChunkReader({ bytesMax: 5000 });
  for (let i = 0; i < 5000; i += 1) {
    reader.expect(1);
    reader.feed(Buffer.from("x"), 0);
  }
  assert.ok(reader.body().chunks.length < 30, `${reader.body().chunks.length} chunks`);
  reader.expect(1);
  assert.equal(reader.feed(Buffer.from("x"), 0), 1);
  assert.equal(reader.kept.oversized, true);
  assert.equal(reader.body().chunks.length, 0);
});
