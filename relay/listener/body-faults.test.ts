import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BodyFaults } from "./body-faults.ts";
import { loadPlainLines, type PlainLines } from "./plain-lines.ts";

/** Those that count, their neighbours, and the same with the highest bit. */
const octets = fc.constantFrom(0, 1, 9, 10, 11, 12, 13, 14, 0x78, 0x80, 0x8a, 0x8d, 0xff);
const same = fc
  .tuple(octets, fc.integer({ min: 1, max: 40 }))
  .map(([octet, times]) => new Array<number>(times).fill(octet));
const line = fc.nat(40).map((length) => [...new Array<number>(length).fill(0x78), 13, 10]);
const run = fc.oneof(same, line);

test("BodyFaults: whatever the pieces and their alignment, it counts what octet by octet is counted, with SIMD or without", () => {
  fc.assert(
    fc.property(fc.array(run), fc.array(fc.nat(9)), fc.nat(3), (runs, sizes, shift) => {
      const body = Uint8Array.from([...new Array<number>(shift).fill(0), ...runs.flat()]);
      const pieces = piecesOf(body.subarray(shift), sizes);
      assert.deepEqual(counted(pieces), expected(runs.flat()));
      assert.deepEqual(counted(pieces, loadPlainLines(Buffer.from("no code"))), counted(pieces));
    }),
    { numRuns: 2000 },
  );
});

test("BodyFaults: a piece may be of any size, and its lines' ends anywhere in it", () => {
  for (const length of [65_533, 65_534, 65_535, 65_536, 65_537, 131_071, 131_072]) {
    const body = [...new Array<number>(length).fill(0x78), 13, 10, 0x78, 13, 10, 0x78, 10, 13];
    assert.deepEqual(counted([Uint8Array.from(body)]), expected(body), `${length}`);
  }
});

function piecesOf(body: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const size of sizes) {
    pieces.push(body.subarray(from, from + size));
    from += size;
  }
  return [...pieces, body.subarray(from)];
}

function counted(pieces: readonly Uint8Array[], plainLines?: PlainLines) {
  const faults = new BodyFaults(plainLines);
  for (const piece of pieces) faults.add(piece);
  faults.end();
  const { bareCr, bareLf, nul, longestLine } = faults;
  return { bareCr, bareLf, nul, longestLine };
}

function expected(body: readonly number[]) {
  const text = Buffer.from(body).toString("latin1");
  const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0;
  const lines = text.split("\n").map((line, place, { length }) => {
    return place < length - 1 && line.endsWith("\r") ? line.length - 1 : line.length;
  });
  return {
    bareCr: count(/\r(?!\n)/g),
    bareLf: count(/(?<!\r)\n/g),
    nul: count(/\0/g),
    longestLine: Math.max(...lines),
  };
}
