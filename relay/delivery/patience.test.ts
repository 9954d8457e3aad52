/** What becomes of a delivery whose room others need, at hosts that say nothing at one stage or another. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import type { Outcome } from "../outcome.ts";
import { until } from "../until.testkit.ts";
import { deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";
import { misbehaving } from "./misbehaving.testkit.ts";
import type { MisbehavingOptions } from "./misbehaving-options.testkit.ts";
import { createResolver } from "./resolver.ts";

/** So long that no test waits for it. */
const patientMs = 120_000;
const patient = {
  greetingMsMax: patientMs,
  helloMsMax: patientMs,
  mailMsMax: patientMs,
  rcptMsMax: patientMs,
};

function said(outcome: Outcome | undefined): string {
  if (outcome?.kind !== "deferred") return outcome?.kind ?? "nothing";
  return `${outcome.cause}${outcome.isUnmet === true ? ", nobody met" : ""}`;
}

async function site(context: TestContext, first: MisbehavingOptions, second?: MisbehavingOptions) {
  const silent = await misbehaving(first);
  const others = second === undefined ? [] : [await misbehaving(second)];
  const rested: string[] = [];
  const delivery = deliveryFor({
    limits: patient,
    events: { hostRested: ({ hop, cause }) => void rested.push(`${hop} ${cause}`) },
  });
  const route = routeTo([silent, ...others].map(({ port }, priority) => ({ port, priority })));
  const patience = new AbortController();
  context.after(async () => {
    await delivery.close({ graceMs: 0 });
    for (const hop of [silent, ...others]) await hop.close();
  });
  return { silent, delivery, route, patience, rested };
}

const rows: readonly (readonly [string, MisbehavingOptions, string, string, RegExp | undefined])[] =
  [
    ["before its banner", { banner: "hang" }, "a", "timeout, nobody met", undefined],
    ["at EHLO", { ehlo: "hang" }, "a", "timeout, nobody met", /EHLO/],
    ["at RCPT", {}, "hang", "timeout", /RCPT/],
  ];
for (const [stage, host, local, want, command] of rows) {
  test(`patience: a host that is silent ${stage} is left when others need the room`, async (context) => {
    const { silent, delivery, route, patience } = await site(context, host);
    const job = jobTo(route, [`${local}@to.test`], { patience: patience.signal });
    const delivered = delivery.deliver(job, never);
    await until(() => silent.sessions() > 0);
    if (command) await until(() => silent.commands.some((each) => command.test(each)));
    patience.abort();
    assert.equal(said((await delivered)[0]), want);
  });
}

test("patience: where the first host is silent the second has its turn, and the silent one rests", async (context) => {
  const { silent, delivery, route, patience, rested } = await site(context, { banner: "hang" }, {});
  const job = jobTo(route, ["a@to.test"], { patience: patience.signal });
  const delivered = delivery.deliver(job, never);
  await until(() => silent.sessions() > 0);
  patience.abort();
  assert.equal(said((await delivered)[0]), "delivered");
  assert.deepEqual(rested, [`127.0.0.1:${silent.port} timeout`]);
});

test("patience: a look-up that nobody answers is left", async (context) => {
  const dns = createSocket("udp4").bind(0, "127.0.0.1");
  await once(dns, "listening");
  const servers = [`127.0.0.1:${dns.address().port}`];
  const resolver = createResolver({ servers, timeoutMs: patientMs, tries: 1 });
  const delivery = deliveryFor({ resolver, limits: patient });
  context.after(async () => {
    await delivery.close({ graceMs: 0 });
    dns.close();
  });
  const patience = new AbortController();
  const mx = routeTo([], { target: { kind: "mx" } });
  const delivered = delivery.deliver(
    jobTo(mx, ["a@to.test"], { patience: patience.signal }),
    never,
  );
  await once(dns, "message");
  patience.abort();
  assert.equal(said((await delivered)[0]), "timeout, nobody met");
});

test("patience: a message that is on its way is never broken off", async (context) => {
  const protocol = "LMTP"; // so that it is seen to be there before it is answered for all
  const { silent, delivery, route, patience } = await site(context, { protocol });
  const to = ["a@to.test", "final-hang@to.test"];
  const job = jobTo({ ...route, protocol }, to, { patience: patience.signal });
  const delivered = delivery.deliver(job, never);
  await until(() => silent.messages.length === 1);
  patience.abort();
  const [taken, outcome] = await delivered;
  assert.equal(said(taken), "delivered");
  assert.match(
    outcome?.reply.text ?? "",
    /took too long at FINAL/,
    "its time for the answer is over",
  );
});

test("patience: the message says when it waits for a host and when it is at work", async (context) => {
  const { delivery, route } = await site(context, {});
  const phases: string[] = [];
  const job = jobTo(route, ["a@to.test"], { phase: (phase) => void phases.push(phase) });
  assert.equal(said((await delivery.deliver(job, never))[0]), "delivered");
  assert.deepEqual(phases, ["waits", "works", "waits", "works"]);
});
