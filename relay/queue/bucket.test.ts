import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Bucket, fullBucket, fullInMs, refilled, taken, waitMs } from "./bucket.ts";

/** Tries at these times; the times at which a message went. */
function run(perSecond: number, atMs: readonly number[]): number[] {
  let bucket: Bucket = fullBucket(perSecond, 0);
  const went: number[] = [];
  for (const nowMs of atMs) {
    bucket = refilled(bucket, perSecond, nowMs);
    const after = taken(bucket);
    if (after === undefined) continue;
    bucket = after;
    went.push(nowMs);
  }
  return went;
}

const rate = fc.oneof(
  fc.integer({ min: 1, max: 500 }),
  fc.double({ min: 0.05, max: 1, noNaN: true }),
);
const times = fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 300 }).map((steps) =>
  steps.map(
    (
      (sum) => (step: number) =>
        (sum += step)
    )(0),
  ),
);

test("bucket: no stretch of time carries more than its share and a tenth of a second's", () => {
  fc.assert(
    fc.property(rate, times, (perSecond, atMs) => {
      const went = run(perSecond, atMs);
      for (let from = 0; from < went.length; from++) {
        for (let to = from; to < went.length; to++) {
          const ms = (went[to] as number) - (went[from] as number);
          const most = Math.max(1, perSecond / 10) + (ms * perSecond) / 1000;
          assert.ok(to - from + 1 <= most + 1e-6, `${to - from + 1} in ${ms} ms at ${perSecond}/s`);
        }
      }
    }),
  );
});

test("bucket: whoever waits as long as he is told gets a token, and not much later than he might", () => {
  fc.assert(
    fc.property(rate, (perSecond) => {
      let bucket = fullBucket(perSecond, 0);
      for (let next = taken(bucket); next !== undefined; next = taken(bucket)) bucket = next;
      const ms = waitMs(bucket, perSecond);
      assert.ok(taken(refilled(bucket, perSecond, ms)) !== undefined);
      assert.ok(taken(refilled(bucket, perSecond, ms - 2)) === undefined);
    }),
  );
});

test("bucket: a clock that goes back neither gives nor takes", () => {
  const full = fullBucket(10, 1000);
  assert.equal(fullInMs(refilled(full, 10, 0), 10), 0);
  assert.equal(waitMs(refilled(taken(full) ?? full, 10, 0), 10), 100);
});
