import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BodyFaults } from "./body-faults.ts";

/** Octets on both sides of each bound that the look at four at once has. */
const octets = fc.constantFrom(0, 1, 9, 10, 13, 14, 0x78, 0x7f, 0x80, 0x8a, 0x8d, 0xff);
const run = fc
  .tuple(octets, fc.integer({ min: 1, max: 12 }))
  .map(([octet, times]) => new Array<number>(times).fill(octet));

test("BodyFaults: whatever the pieces and their alignment, it counts what octet by octet is counted", () => {
  fc.assert(
    fc.property(fc.array(run), fc.array(fc.nat(9)), fc.nat(3), (runs, sizes, shift) => {
      const body = Uint8Array.from([...new Array<number>(shift).fill(0), ...runs.flat()]);
      assert.deepEqual(counted(piecesOf(body.subarray(shift), sizes)), expected(runs.flat()));
    }),
    { numRuns: 2000 },
  );
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

function counted(pieces: readonly Uint8Array[]) {
  const faults = new BodyFaults();
  for (const piece of pieces) faults.add(piece);
  faults.end();
  const { bareCr, bareLf, nul, longestLine } = faults;
  return { bareCr, bareLf, nul, longestLine };
}

function expected(body: readonly number[]) {
  const text = String.fromCharCode(...body);
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
