import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openDeliveries } from "./deliveries.ts";

function directoryOf(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-deliveries-"));
  context.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

const idsIn = (directory: string): string[] =>
  openDeliveries(directory)
    .left.map(({ id }) => id)
    .toSorted();

test("deliveries: those under way are what the next process finds, each once", (context) => {
  const directory = directoryOf(context);
  const first = openDeliveries(directory);
  assert.deepEqual(first.left, []);
  first.begin("ONE");
  const { ended } = first.begin("TWO");
  first.begin("ONE");
  ended();
  first.begin("THREE"); // takes the slot of TWO
  assert.deepEqual(idsIn(directory), ["ONE", "THREE"]);
});

test("deliveries: one that has ended is no longer found a moment later", async (context) => {
  const directory = directoryOf(context);
  const first = openDeliveries(directory);
  first.begin("ONE");
  first.begin("TWO").ended();
  await sleep(400);
  assert.deepEqual(idsIn(directory), ["ONE"]);
});

test("deliveries: after a stop in good order there is nothing", (context) => {
  const directory = directoryOf(context);
  const first = openDeliveries(directory);
  first.begin("ONE");
  first.close();
  assert.deepEqual(openDeliveries(directory).left, []);
});

test("deliveries: a damaged file accuses nobody by name, and stops nothing", (context) => {
  const directory = directoryOf(context);
  writeFileSync(join(directory, "deliveries"), Buffer.alloc(100, 0));
  const { left, begin } = openDeliveries(directory);
  assert.ok(left.every(({ id }) => !/^\w+$/.test(id)));
  begin("ONE").ended();
});

test("deliveries: who only waits for its host says so after a moment, and no more once it works", async (context) => {
  const directory = directoryOf(context);
  const first = openDeliveries(directory);
  first.begin("WAITS").phase("waits");
  const works = first.begin("WORKS");
  works.phase("waits");
  const briefly = first.begin("BRIEFLY");
  briefly.phase("waits");
  briefly.phase("works");
  first.begin("BOTH").phase("waits");
  first.begin("BOTH");
  await sleep(400);
  works.phase("works");
  const { left } = openDeliveries(directory);
  assert.deepEqual(left.map(({ id, phase }) => `${id} ${phase}`).toSorted(), [
    "BOTH works",
    "BRIEFLY works",
    "WAITS waits",
    "WORKS works",
  ]);
});
