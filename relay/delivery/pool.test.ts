import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../outcome.ts";
import { until } from "../until.testkit.ts";
import { deadPort, deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";
import { misbehaving } from "./misbehaving.testkit.ts";

const kinds = (outcomes: readonly Outcome[]): readonly string[] => outcomes.map(({ kind }) => kind);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test("pool: a connection is kept and used again, up to its messages", async () => {
  const next = await misbehaving();
  const closed: number[] = [];
  const delivery = deliveryFor({
    limits: { messagesPerConnectionMax: 3 },
    events: { connectionClosed: ({ messages }) => closed.push(messages) },
  });
  const route = routeTo([{ port: next.port }]);
  for (let at = 0; at < 7; at++) await delivery.deliver(jobTo(route, ["a@to.test"]), never);
  assert.equal(next.sessions(), 3);
  assert.deepEqual(closed, [3, 3]);
  await delivery.close({ graceMs: 0 });
  assert.deepEqual(
    next.messages.map(({ session }) => session),
    [1, 1, 1, 2, 2, 2, 3],
  );
  await next.close();
});

test("pool: no more connections than the route allows, whoever waits is served in turn", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor();
  const route = routeTo([{ port: next.port }], { delivery: { maxConnections: 2 } });
  const jobs = Array.from({ length: 20 }, (_, at) =>
    jobTo(route, [`slow+${at}@to.test`, `${at}@to.test`]),
  );
  const outcomes = await Promise.all(jobs.slice(0, 6).map((job) => delivery.deliver(job, never)));
  assert.deepEqual(new Set(outcomes.flatMap(kinds)), new Set(["delivered"]));
  assert.equal(next.sessions(), 2);
  const order = next.messages.map(({ recipients }) => Number(recipients[1]?.split("@")[0]));
  assert.deepEqual(
    order.toSorted((a, b) => Math.floor(a / 2) - Math.floor(b / 2)),
    order,
  );
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("pool: under the bound of all connections an idle one gives way to another host's", async () => {
  const [one, two] = [await misbehaving(), await misbehaving()];
  const delivery = deliveryFor({ limits: { connectionsMax: 1 } });
  for (let at = 0; at < 2; at++) {
    for (const { port } of [one, two]) {
      const outcomes = await delivery.deliver(jobTo(routeTo([{ port }]), ["a@to.test"]), never);
      assert.deepEqual(kinds(outcomes), ["delivered"]);
    }
  }
  const both = [one, two].map(({ port }) =>
    delivery.deliver(jobTo(routeTo([{ port }]), ["slow@to.test"]), never),
  );
  assert.deepEqual((await Promise.all(both)).flatMap(kinds), ["delivered", "delivered"]);
  await delivery.close({ graceMs: 0 });
  await one.close();
  await two.close();
});

test("pool: a kept connection that died is replaced once, without harm", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor();
  const route = routeTo([{ port: next.port }]);
  await delivery.deliver(jobTo(route, ["a@to.test"]), never);
  next.dropAll();
  // In the same turn: the end of the connection has not been seen yet.
  const outcomes = await delivery.deliver(jobTo(route, ["b@to.test"]), never);
  assert.deepEqual(kinds(outcomes), ["delivered"]);
  await pause(20);
  next.dropAll();
  await pause(20);
  assert.deepEqual(kinds(await delivery.deliver(jobTo(route, ["c@to.test"]), never)), [
    "delivered",
  ]);
  assert.equal(next.sessions(), 3);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("pool: a kept connection that answers MAIL with 421 is replaced once, a new one defers", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor();
  const route = routeTo([{ port: next.port }]);
  await delivery.deliver(jobTo(route, ["a@to.test"]), never);
  const job = jobTo(route, ["b@to.test"], { sender: "temp-421@from.test" });
  const [outcome] = await delivery.deliver(job, never);
  assert.equal(outcome?.kind, "deferred");
  assert.equal(next.sessions(), 2);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("pool: an unasked 421, or any other word, ends an idle connection", async () => {
  const next = await misbehaving();
  let closed = 0;
  const delivery = deliveryFor({ events: { connectionClosed: () => (closed += 1) } });
  const route = routeTo([{ port: next.port }]);
  for (const [before, word] of ["421 4.4.2 bye\r\n", "250 what?\r\n", "nonsense\r\n"].entries()) {
    await delivery.deliver(jobTo(route, ["a@to.test"]), never);
    next.sayAll(word);
    await until(() => closed > before);
  }
  assert.deepEqual(kinds(await delivery.deliver(jobTo(route, ["a@to.test"]), never)), [
    "delivered",
  ]);
  assert.equal(next.sessions(), 4);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("pool: after a transaction without recipients RSET goes first and the connection stays", async () => {
  for (const extensions of [["PIPELINING"], []]) {
    const next = await misbehaving({ extensions });
    const delivery = deliveryFor();
    const route = routeTo([{ port: next.port }]);
    await delivery.deliver(jobTo(route, ["perm-550@to.test"]), never);
    assert.deepEqual(kinds(await delivery.deliver(jobTo(route, ["a@to.test"]), never)), [
      "delivered",
    ]);
    assert.equal(next.sessions(), 1);
    assert.ok(next.commands.includes("1 RSET"));
    await delivery.close({ graceMs: 0 });
    await next.close();
  }
});

test("pool: idle connections end with QUIT after their time", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor({ limits: { idleMsMax: 50, sweepMs: 10 } });
  await delivery.deliver(jobTo(routeTo([{ port: next.port }]), ["a@to.test"]), never);
  await until(() => next.commands.at(-1) === "1 QUIT");
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("pool: a host that does not answer rests twice as long each time, and is tried last", async () => {
  const next = await misbehaving();
  let now = 1000;
  const rests: number[] = [];
  const delivery = deliveryFor({
    now: () => now,
    events: { hostRested: ({ restMs }) => rests.push(restMs) },
  });
  const failures: string[] = [];
  const dead = await deadPort();
  const route = routeTo([
    { port: dead, priority: 1 },
    { port: next.port, priority: 2 },
  ]);
  const single = routeTo([{ port: dead }]);
  for (let round = 0; round < 9; round++) {
    const outcomes = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
    assert.deepEqual(kinds(outcomes), ["delivered"]);
    // While it rests the living one is asked first, and a route with nothing else still tries.
    await delivery.deliver(jobTo(route, ["a@to.test"]), never);
    const alone = await delivery.deliver(jobTo(single, ["a@to.test"]), never);
    failures.push(...kinds(alone));
    now += 300_001;
  }
  assert.deepEqual(
    rests,
    [5, 10, 20, 40, 80, 160, 300, 300, 300].map((seconds) => seconds * 1000),
  );
  assert.deepEqual(new Set(failures), new Set(["deferred"]));
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("pool: a host that takes only some of our connections goes on with those", async () => {
  const next = await misbehaving();
  let [opened, refused] = [0, 0];
  const delivery = deliveryFor({
    events: {
      connectionOpened: () => (opened += 1),
      connectionFailed: () => (refused += 1),
      hostRested: () => assert.fail("rested"),
    },
    limits: { connectionsPerHopMax: 10 },
  });
  const route = routeTo([{ port: next.port }]);
  const first = delivery.deliver(jobTo(route, ["slow@to.test"]), never);
  await until(() => opened > 0);
  next.limitSessions(1);
  const more = Array.from({ length: 8 }, () =>
    delivery.deliver(jobTo(route, ["a@to.test"]), never),
  );
  assert.deepEqual(
    new Set((await Promise.all([first, ...more])).flatMap(kinds)),
    new Set(["delivered"]),
  );
  assert.ok(refused > 0);
  assert.deepEqual(new Set(next.messages.map(({ session }) => session)), new Set([1]));
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("pool: all who wait for a dead host hear it from one attempt", async () => {
  const port = await deadPort();
  let attempts = 0;
  const delivery = deliveryFor({
    events: { connectionFailed: () => (attempts += 1) },
    limits: { connectionsPerHopMax: 2 },
  });
  const route = routeTo([{ port }]);
  const all = Array.from({ length: 100 }, () =>
    delivery.deliver(jobTo(route, ["a@to.test"]), never),
  );
  assert.deepEqual(new Set((await Promise.all(all)).flatMap(kinds)), new Set(["deferred"]));
  assert.equal(attempts, 2);
  await Promise.all(
    Array.from({ length: 100 }, () => delivery.deliver(jobTo(route, ["a@to.test"]), never)),
  );
  assert.equal(attempts, 3);
  await delivery.close({ graceMs: 0 });
});

test("pool: no host is starved by another that always has mail", { timeout: 5000 }, async () => {
  const [busy, other] = [await misbehaving(), await misbehaving()];
  const delivery = deliveryFor({ limits: { connectionsMax: 2, messagesPerConnectionMax: 10 } });
  let stop = false;
  const route = routeTo([{ port: busy.port }]);
  const load = Array.from({ length: 6 }, async () => {
    while (!stop) await delivery.deliver(jobTo(route, ["a@to.test"]), never);
  });
  await pause(50);
  const job = jobTo(routeTo([{ port: other.port }]), ["a@to.test"]);
  assert.deepEqual(kinds(await delivery.deliver(job, never)), ["delivered"]);
  stop = true;
  await Promise.all(load);
  await delivery.close({ graceMs: 0 });
  await busy.close();
  await other.close();
});

test("pool: a route's own limit is shared out among the relays, and each has at least one", async () => {
  const next = await misbehaving();
  let relays = 2;
  const delivery = deliveryFor({ relays: () => relays });
  const route = routeTo([{ port: next.port }], { delivery: { maxConnections: 5 } });
  const burst = async (): Promise<number> => {
    const before = next.sessions();
    const jobs = Array.from({ length: 8 }, (_, at) => jobTo(route, [`slow+${at}@to.test`]));
    await Promise.all(jobs.map((job) => delivery.deliver(job, never)));
    next.dropAll();
    await pause(50);
    return next.sessions() - before;
  };
  assert.equal(await burst(), 2);
  relays = 1;
  assert.equal(await burst(), 5);
  relays = 9;
  assert.equal(await burst(), 1);
  await delivery.close({ graceMs: 0 });
  await next.close();
});
