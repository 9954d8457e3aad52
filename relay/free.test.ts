import assert from "node:assert/strict";
import { test } from "node:test";
import { free } from "./free.ts";

test("free: what has its memory for itself is gone, what shares it or is small stays", () => {
  const whole = Buffer.from(new ArrayBuffer(65_536)).fill("x");
  const shared = Buffer.from(new ArrayBuffer(65_536)).fill("y");
  const part = shared.subarray(0, 40_000);
  const small = Buffer.from(new ArrayBuffer(100)).fill("z");
  free([whole, part, small, whole]);
  assert.equal(whole.length, 0);
  assert.equal(part.toString("latin1"), "y".repeat(40_000));
  assert.equal(shared.length, 65_536);
  assert.equal(small.toString("latin1"), "z".repeat(100));
});
