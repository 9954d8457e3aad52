import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fewAtOnce } from "./few-at-once.ts";

test("few at once: all of them, so many at a time, begun in order", async () => {
  const begun: number[] = [];
  let active = 0;
  let activeMax = 0;
  await fewAtOnce([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
    begun.push(item);
    active += 1;
    activeMax = Math.max(activeMax, active);
    await sleep(item % 2 === 0 ? 5 : 1);
    active -= 1;
  });
  assert.deepEqual(begun, [1, 2, 3, 4, 5, 6, 7]);
  assert.equal(activeMax, 3);
  assert.equal(active, 0);
});

test("few at once: an error ends it when nothing is under way any more", async () => {
  const begun: number[] = [];
  let active = 0;
  const done = fewAtOnce([1, 2, 3, 4, 5], 2, async (item) => {
    begun.push(item);
    active += 1;
    await sleep(item === 1 ? 1 : 20);
    active -= 1;
    if (item === 1) throw new RangeError("one");
  });
  await assert.rejects(done, RangeError);
  assert.deepEqual(begun, [1, 2]);
  assert.equal(active, 0);
});

test("few at once: of nothing is nothing", async () => {
  await fewAtOnce([], 3, async () => assert.fail());
});
