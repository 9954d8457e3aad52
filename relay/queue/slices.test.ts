import assert from "node:assert/strict";
import { test } from "node:test";
import { Slices } from "./slices.ts";

test("slices: a turn is due after so many milliseconds, and from then on again", async () => {
  let nowMs = 0;
  let turns = 0;
  const slices = new Slices({
    msMax: 3,
    now: () => nowMs,
    async turn() {
      turns += 1;
      nowMs += 100; // others take their time: that is not ours
    },
  });
  const overAt: number[] = [];
  for (let step = 1; step <= 8; step++) {
    nowMs += 1;
    if (!slices.isOver) continue;
    overAt.push(step);
    await slices.next();
  }
  assert.deepEqual([overAt, turns], [[3, 6], 2]);
});
