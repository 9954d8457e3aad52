import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Lanes } from "./lanes.ts";

/** Work that runs until it is let go. */
function gates() {
  const started: string[] = [];
  const open: (() => void)[] = [];
  const work = (name: string) => async () => {
    started.push(name);
    await new Promise<void>((resolve) => open.push(resolve));
  };
  return { started, open, work };
}

test("lanes: a lane full of waiting work holds up no other lane", async () => {
  const { started, open, work } = gates();
  const lanes = new Lanes({ activeMax: 10, activePerLaneMax: 2 });
  for (let count = 0; count < 1000; count++) lanes.add("dead", work("dead"));
  lanes.add("alive", work("alive"));
  assert.deepEqual(started, ["dead", "dead", "alive"]);
  for (const let_go of open.splice(0)) let_go();
  await turn();
  assert.equal(lanes.active, 2);
});

test("lanes: under the common bound lanes take turns", async () => {
  const { started, open, work } = gates();
  const lanes = new Lanes({ activeMax: 1, activePerLaneMax: 5 });
  for (const name of ["a1", "a2", "a3"]) lanes.add("a", work(name));
  for (const name of ["b1", "b2", "b3"]) lanes.add("b", work(name));
  for (let count = 0; count < 6; count++) {
    open.shift()?.();
    await turn();
  }
  assert.deepEqual(started, ["a1", "a2", "b1", "a3", "b2", "b3"]);
});

test("lanes: everything added runs once, never more at a time than allowed", async () => {
  const lanes = new Lanes({ activeMax: 7, activePerLaneMax: 3 });
  let ran = 0;
  let now = 0;
  let most = 0;
  for (let count = 0; count < 5000; count++) {
    lanes.add(`lane${count % 11}`, async () => {
      now += 1;
      most = Math.max(most, now);
      await turn();
      now -= 1;
      ran += 1;
    });
  }
  while (lanes.active > 0) await turn();
  assert.equal(ran, 5000);
  assert.equal(most, 7);
});

test("lanes: after stop nothing starts and what runs ends", async () => {
  const { started, open, work } = gates();
  const lanes = new Lanes({ activeMax: 1, activePerLaneMax: 1 });
  lanes.add("a", work("first"));
  lanes.add("a", work("second"));
  lanes.stop();
  open.shift()?.();
  await turn();
  assert.deepEqual(started, ["first"]);
  assert.equal(lanes.active, 0);
});
