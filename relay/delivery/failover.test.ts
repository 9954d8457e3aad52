import assert from "node:assert/strict";
import { test } from "node:test";
import { deadPort, deliveryFor, hopTls, jobTo, never, routeTo } from "./delivery.testkit.ts";
import { misbehaving } from "./misbehaving.testkit.ts";
import type { MisbehavingOptions } from "./misbehaving-options.testkit.ts";

type Case = {
  readonly title: string;
  readonly first: MisbehavingOptions;
  readonly sender?: string;
  readonly to?: string;
  /** Whether the second host gets the message. */
  readonly goesOn: boolean;
};

const cases: readonly Case[] = [
  { title: "a 4xx banner", first: { banner: "temp-421" }, goesOn: true },
  { title: "a 5xx banner", first: { banner: "perm-554" }, goesOn: true },
  { title: "a banner of garbage", first: { banner: "garbage" }, goesOn: true },
  { title: "a silent banner", first: { banner: "hang" }, goesOn: true },
  { title: "4xx at EHLO", first: { ehlo: "temp-450" }, goesOn: true },
  { title: "5xx at EHLO", first: { ehlo: "perm-550" }, goesOn: true },
  { title: "STARTTLS refused", first: { tls: hopTls, startTls: "temp-454" }, goesOn: true },
  { title: "a broken handshake", first: { tls: hopTls, handshake: "garbage" }, goesOn: true },
  { title: "4xx at MAIL", first: { tls: hopTls }, sender: "temp-451", goesOn: true },
  { title: "a drop at MAIL", first: { tls: hopTls }, sender: "drop", goesOn: true },
  { title: "530 at MAIL", first: { tls: hopTls }, sender: "say-530", goesOn: true },
  { title: "5xx at MAIL", first: { tls: hopTls }, sender: "perm-550", goesOn: false },
  { title: "4xx at RCPT", first: { tls: hopTls }, to: "temp-451", goesOn: true },
  { title: "5xx at RCPT", first: { tls: hopTls }, to: "perm-550", goesOn: false },
  { title: "a drop at RCPT", first: { tls: hopTls }, to: "drop", goesOn: true },
  { title: "a drop at DATA", first: { tls: hopTls }, to: "data-drop", goesOn: true },
  { title: "4xx at DATA", first: { tls: hopTls }, to: "data-temp-451", goesOn: false },
  { title: "4xx after the dot", first: { tls: hopTls }, to: "final-temp-451", goesOn: false },
  {
    title: "a drop after the dot, for it may have taken it",
    first: { tls: hopTls },
    to: "final-drop",
    goesOn: false,
  },
];

for (const { title, first, sender = "sender", to = "a", goesOn } of cases) {
  test(`failover: ${goesOn ? "the next host is asked" : "no other host is asked"} after ${title}`, async () => {
    const one = await misbehaving(first);
    const two = await misbehaving({ tls: hopTls });
    const delivery = deliveryFor();
    const hosts = [
      { port: one.port, priority: 1 },
      { port: two.port, priority: 2 },
    ];
    const route = routeTo(hosts, { tls: { mode: "Required" } });
    const job = jobTo(route, [`${to}@to.test`], { sender: `${sender}@from.test` });
    await delivery.deliver(job, never);
    assert.equal(one.sessions(), 1);
    assert.equal(two.sessions(), goesOn ? 1 : 0);
    await delivery.close({ graceMs: 0 });
    await one.close();
    await two.close();
  });
}

test("failover: with all recipients put off or refused, only those put off go to the next host", async () => {
  const one = await misbehaving();
  const two = await misbehaving();
  const delivery = deliveryFor();
  const route = routeTo([
    { port: one.port, priority: 1 },
    { port: two.port, priority: 2 },
  ]);
  const to = ["perm-550-5.1.1@to.test", "temp-450@to.test", "temp-451@to.test"];
  const outcomes = await delivery.deliver(jobTo(route, to), never);
  assert.deepEqual(
    outcomes.map(({ kind, reply }) => `${kind} ${reply.code}`),
    ["failed 550", "deferred 450", "deferred 451"],
  );
  assert.deepEqual(
    outcomes.map(({ hop }) => hop),
    [`127.0.0.1:${one.port}`, `127.0.0.1:${two.port}`, `127.0.0.1:${two.port}`],
  );
  assert.deepEqual(
    two.commands.filter((line) => line.includes("RCPT")),
    ["1 RCPT TO:<temp-450@to.test>", "1 RCPT TO:<temp-451@to.test>"],
  );
  await delivery.close({ graceMs: 0 });
  await one.close();
  await two.close();
});

test("failover: a dead host costs nothing where another lives, and lower priority is asked first", async () => {
  const two = await misbehaving();
  const delivery = deliveryFor();
  const hosts = [
    { port: two.port, priority: 20 },
    { port: await deadPort(), priority: 10 },
  ];
  const [outcome] = await delivery.deliver(jobTo(routeTo(hosts), ["a@to.test"]), never);
  assert.deepEqual([outcome?.kind, outcome?.hop], ["delivered", `127.0.0.1:${two.port}`]);
  await delivery.close({ graceMs: 0 });
  await two.close();
});

test("failover: no more hosts are asked than the limit says", async () => {
  const failed: string[] = [];
  const delivery = deliveryFor({
    limits: { hostsPerAttemptMax: 2 },
    events: { connectionFailed: ({ hop }) => failed.push(hop) },
  });
  const hosts = [1, 2, 3].map((priority) => ({ host: "127.0.0.1", port: priority, priority }));
  await delivery.deliver(jobTo(routeTo(hosts), ["a@to.test"]), never);
  assert.deepEqual(failed, ["127.0.0.1:1", "127.0.0.1:2"]);
  await delivery.close({ graceMs: 0 });
});
