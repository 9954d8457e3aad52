/** Hosts that say that they get too much get less, for a while. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Outcome } from "../outcome.ts";
import { deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";
import type { Delivery } from "./delivery.ts";
import { type Misbehaving, misbehaving } from "./misbehaving.testkit.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type Site = {
  readonly host: Misbehaving;
  readonly delivery: Delivery;
  /** What each complaint left: connections, milliseconds between messages. */
  readonly left: readonly (readonly [number, number])[];
  /** So many messages at once, and a second after them: how many of them were taken. */
  burst(count: number): Promise<number>;
  advance(ms: number): void;
};

async function site(context: TestContext): Promise<Site> {
  const host = await misbehaving();
  const left: (readonly [number, number])[] = [];
  let aheadMs = 0;
  const delivery = deliveryFor({
    now: () => performance.now() + aheadMs,
    limits: { idleMsMax: 3_600_000 },
    events: {
      hostPressed: ({ connectionsMax, spacingMs }) => left.push([connectionsMax, spacingMs]),
    },
  });
  context.after(async () => {
    await delivery.close({ graceMs: 0 });
    await host.close();
  });
  const route = routeTo([{ port: host.port }]);
  return {
    host,
    delivery,
    left,
    async burst(count) {
      const jobs = Array.from({ length: count }, (_, at) => jobTo(route, [`a${at}@to.test`]));
      const outcomes = await Promise.all(
        jobs.map(async (job) => await delivery.deliver(job, never)),
      );
      aheadMs += 1001;
      return outcomes.flat().filter(({ kind }: Outcome) => kind === "delivered").length;
    },
    advance: (ms) => {
      aheadMs += ms;
    },
  };
}

for (const manner of ["temp-451-4.7.1", "temp-421-4.7.0"]) {
  test(`pressure: a host that says ${manner} above three connections soon has three or fewer, and then takes everything`, async (context) => {
    const { host, burst, left } = await site(context);
    host.crowdedAbove(3, manner);
    for (let round = 0; round < 5; round++) await burst(12);
    assert.equal(await burst(12), 12);
    const connections = left.map(([count]) => count);
    assert.deepEqual(
      connections,
      connections.toSorted((a, b) => b - a),
    );
    assert.ok((connections.at(-1) ?? 20) <= 3, `${connections}`);
    assert.ok(left.length <= 3, "messages of one wave are one complaint");
  });
}

test("pressure: what it is given comes back a connection at a time, until it has all again", async (context) => {
  const { host, burst, left, advance } = await site(context);
  host.crowdedAbove(3, "temp-451-4.7.1");
  for (let round = 0; round < 5; round++) await burst(12);
  host.crowdedAbove(12, "temp-451-4.7.1");
  const before = left.length;
  const counts: number[] = [];
  for (let step = 0; step < 12; step++) {
    const began = host.sessions();
    host.dropAll();
    await pause(50);
    await burst(12);
    counts.push(host.sessions() - began);
    advance(10_001);
    await pause(50);
  }
  assert.equal(left.length, before, "no complaint any more");
  assert.deepEqual(
    counts,
    counts.toSorted((a, b) => a - b),
  );
  assert.ok((counts[0] ?? 12) <= 3, `${counts}`);
  assert.equal(counts.at(-1), 12);
});

test("pressure: with one connection left a host that goes on with 421 has time between messages", async (context) => {
  const { host, burst, left, advance } = await site(context);
  host.crowdedAbove(0, "temp-421-4.7.0");
  for (let round = 0; round < 2; round++) await burst(2);
  const [connections, spacingMs = 0] = left.at(-1) ?? [];
  assert.equal(connections, 1);
  assert.ok(spacingMs >= 200, `${spacingMs}`);
  host.crowdedAbove(99, "");
  assert.equal(await burst(2), 2);
  for (let step = 0; step < 8; step++) {
    advance(10_001);
    await pause(50);
  }
  assert.equal(await burst(9), 9);
});

test("pressure: a recipient who is put off beside others says nothing of the host", async (context) => {
  const { host, delivery, left } = await site(context);
  const route = routeTo([{ port: host.port }]);
  const to = ["temp-451-4.7.1@to.test", "a@to.test"];
  const [first, second] = await delivery.deliver(jobTo(route, to), never);
  assert.deepEqual([first?.kind, second?.kind], ["deferred", "delivered"]);
  await delivery.deliver(jobTo(route, ["temp-452-4.2.2@to.test"]), never);
  await delivery.deliver(jobTo(route, ["perm-550-5.7.1@to.test"]), never);
  assert.deepEqual(left, []);
});
