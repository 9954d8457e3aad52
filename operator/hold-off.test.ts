import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { HoldOff } from "./hold-off.ts";

const msMax = 5000;

async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!holds()) {
    assert.ok(performance.now() < endMs, `not in time: ${what}`);
    await sleep(1);
  }
}

test("hold-off: many changes at once are one run", async () => {
  let runs = 0;
  const holdOff = new HoldOff({ quietMs: 20, waitMsMax: 1000, run: async () => void runs++ });
  for (let count = 0; count < 100; count++) holdOff.touch();
  await until(() => runs > 0, "a run");
  await sleep(60);
  assert.equal(runs, 1);
});

test("hold-off: a change after a run is another run", async () => {
  let runs = 0;
  const holdOff = new HoldOff({ quietMs: 1, waitMsMax: 10, run: async () => void runs++ });
  holdOff.touch();
  await until(() => runs === 1, "the first run");
  holdOff.touch();
  await until(() => runs === 2, "the second run");
});

test("hold-off: changes that never end put a run off, but not for ever", async () => {
  let runs = 0;
  const holdOff = new HoldOff({ quietMs: 1_000_000, waitMsMax: 30, run: async () => void runs++ });
  const timer = setInterval(() => holdOff.touch(), 1);
  await until(() => runs > 0, "a run while changes go on");
  clearInterval(timer);
  holdOff.stop();
});

test("hold-off: runs never overlap, and changes during one are followed by one more", async () => {
  const gates: (() => void)[] = [];
  let active = 0;
  let activeMax = 0;
  const holdOff = new HoldOff({
    quietMs: 1,
    waitMsMax: 5,
    async run() {
      active += 1;
      activeMax = Math.max(activeMax, active);
      await new Promise<void>((resolve) => gates.push(resolve));
      active -= 1;
    },
  });
  holdOff.touch();
  await until(() => gates.length === 1, "the first run");
  for (let count = 0; count < 10; count++) holdOff.touch();
  await sleep(30);
  assert.equal(gates.length, 1);
  gates[0]?.();
  await until(() => gates.length === 2, "the second run");
  gates[1]?.();
  await sleep(30);
  assert.equal(gates.length, 2);
  assert.equal(activeMax, 1);
});

test("hold-off: when stopped it runs no more", async () => {
  let runs = 0;
  const holdOff = new HoldOff({ quietMs: 5, waitMsMax: 10, run: async () => void runs++ });
  holdOff.touch();
  holdOff.stop();
  holdOff.touch();
  await sleep(40);
  assert.equal(runs, 0);
});
