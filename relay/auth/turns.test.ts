import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Turns } from "./turns.ts";

function jobs(turns: Turns) {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const start = (network: string, name: string) =>
    turns.take(network, async () => {
      begun.push(name);
      await new Promise<void>((resolve) => ends.push(resolve));
      return name;
    });
  return {
    begun,
    start,
    async endNext(): Promise<void> {
      ends.shift()?.();
      await turn();
    },
  };
}

test("turns: two at once, and then one of each network in turn", async () => {
  const turns = new Turns({ atOnceMax: 2, waitingMax: 100, waitingPerNetworkMax: 10 });
  const { begun, start, endNext } = jobs(turns);
  const all = ["a1", "a2", "a3", "a4", "a5", "b1", "c1"].map((name) =>
    start(name.slice(0, 1), name),
  );
  assert.deepEqual(begun, ["a1", "a2"]);
  while (begun.length < all.length) await endNext();
  assert.deepEqual(begun, ["a1", "a2", "a3", "b1", "c1", "a4", "a5"]);
  await endNext();
  await endNext();
  assert.deepEqual(await Promise.all(all), ["a1", "a2", "a3", "a4", "a5", "b1", "c1"]);
});

test("turns: a network's line has an end, and another's is open", async () => {
  const turns = new Turns({ atOnceMax: 1, waitingMax: 100, waitingPerNetworkMax: 2 });
  const { start, endNext } = jobs(turns);
  const running = start("a", "a1");
  const waiting = [start("a", "a2"), start("a", "a3")];
  assert.equal(await start("a", "a4"), undefined);
  const other = start("b", "b1");
  for (let count = 0; count < 4; count += 1) await endNext();
  assert.deepEqual(await Promise.all([running, ...waiting, other]), ["a1", "a2", "a3", "b1"]);
});

test("turns: a job that throws gives its place on", async () => {
  const turns = new Turns({ atOnceMax: 1, waitingMax: 1, waitingPerNetworkMax: 1 });
  await assert.rejects(
    turns.take("a", async () => {
      throw new Error("no");
    }),
  );
  assert.equal(await turns.take("a", async () => 1), 1);
});
