import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Lanes, type Met } from "./lanes.ts";

/** Work that runs until it is let go. */
function gates() {
  const started: string[] = [];
  const open: ((met: Met) => void)[] = [];
  const work = (name: string) => async () => {
    started.push(name);
    return await new Promise<Met>((resolve) => open.push(resolve));
  };
  return { started, open, work };
}

test("lanes: a lane full of waiting work holds up no other lane", () => {
  const { started, work } = gates();
  const lanes = new Lanes({ activeMax: 10, activePerLaneMax: 5 });
  for (let count = 0; count < 1000; count++) lanes.add("dead", "me", work("dead"));
  lanes.add("alive", "me", work("alive"));
  assert.deepEqual(started, ["dead", "dead", "alive"]);
});

test("lanes: in a lane senders take turns: a thousand messages of one hold another's up for one", async () => {
  const { started, open, work } = gates();
  const lanes = new Lanes({ activeMax: 10, activePerLaneMax: 1 });
  for (let count = 0; count < 1000; count++) lanes.add("host", "bulk", work("bulk"));
  lanes.add("host", "small", work("small"));
  for (let count = 0; count < 2; count++) {
    open.shift()?.("alive");
    await turn();
  }
  assert.deepEqual(started, ["bulk", "bulk", "small"]);
});

test("lanes: a lane whose work meets a living host earns its full share, one that does not loses it", async () => {
  const { started, open, work } = gates();
  const lanes = new Lanes({ activeMax: 100, activePerLaneMax: 4 });
  for (let count = 0; count < 40; count++) lanes.add("a", "me", work("a"));
  assert.equal(lanes.active, 2);
  for (let count = 0; count < 5; count++) {
    open.shift()?.("alive");
    await turn();
  }
  assert.equal(lanes.active, 4);
  for (let count = 0; count < 5; count++) {
    open.shift()?.("dead");
    await turn();
  }
  assert.equal(lanes.active, 1);
  assert.ok(started.length > 10);
});

test("lanes: any number of silent destinations leave half of the room to those that live", async () => {
  const { open, work, started } = gates();
  const lanes = new Lanes({ activeMax: 20, activePerLaneMax: 10 });
  lanes.add("good", "me", work("good"));
  for (let count = 0; count < 5; count++) {
    lanes.add("good", "me", work("good"));
    open.shift()?.("alive");
    await turn();
  }
  for (let lane = 0; lane < 500; lane++) lanes.add(`silent${lane}`, "me", work("silent"));
  assert.equal(started.filter((name) => name === "silent").length, 10, "half");
  const before = started.length;
  lanes.add("good", "me", work("good"));
  assert.deepEqual(started.slice(before), ["good"]);
});

test("lanes: everything added runs once, never more at a time than allowed", async () => {
  const lanes = new Lanes({ activeMax: 7, activePerLaneMax: 3 });
  let ran = 0;
  let now = 0;
  let most = 0;
  for (let count = 0; count < 5000; count++) {
    lanes.add(`lane${count % 11}`, "me", async () => {
      now += 1;
      most = Math.max(most, now);
      await turn();
      now -= 1;
      ran += 1;
      return (["alive", "dead", "nothing"] as const)[count % 3] ?? "alive";
    });
  }
  while (lanes.active > 0) await turn();
  assert.equal(ran, 5000);
  assert.ok(most <= 7 && most > 3);
});

test("lanes: after stop nothing starts and what runs ends", async () => {
  const { started, open, work } = gates();
  const lanes = new Lanes({ activeMax: 1, activePerLaneMax: 1 });
  lanes.add("a", "me", work("first"));
  lanes.add("a", "me", work("second"));
  lanes.stop();
  open.shift()?.("alive");
  await turn();
  assert.deepEqual(started, ["first"]);
  assert.equal(lanes.active, 0);
});

test("lanes: a destination that lives does not stand in line behind silent ones that were there before", async () => {
  const { open, work, started } = gates();
  const lanes = new Lanes({ activeMax: 20, activePerLaneMax: 10 });
  lanes.add("good", "me", work("good"));
  for (let lane = 0; lane < 500; lane++) lanes.add(`silent${lane}`, "me", work("silent"));
  for (let count = 0; count < 5; count++) lanes.add("good", "me", work("good"));
  assert.equal(started.filter((name) => name === "good").length, 1);
  open.shift()?.("alive");
  await turn();
  assert.equal(started.filter((name) => name === "good").length, 4, "its full share");
});
