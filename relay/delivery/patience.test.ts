/** What becomes of a delivery whose room others need, at hosts that say nothing at one stage or another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../outcome.ts";
import { deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";
import { misbehaving } from "./misbehaving.testkit.ts";
import type { MisbehavingOptions } from "./misbehaving-options.testkit.ts";

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

async function site(first: MisbehavingOptions, second?: MisbehavingOptions) {
  const silent = await misbehaving(first);
  const others = second === undefined ? [] : [await misbehaving(second)];
  const rested: string[] = [];
  const delivery = deliveryFor({
    limits: patient,
    events: { hostRested: ({ hop, cause }) => void rested.push(`${hop} ${cause}`) },
  });
  const route = routeTo([silent, ...others].map(({ port }, priority) => ({ port, priority })));
  const patience = new AbortController();
  const close = async (): Promise<void> => {
    await delivery.close({ graceMs: 0 });
    for (const hop of [silent, ...others]) await hop.close();
  };
  return { silent, delivery, route, patience, rested, close };
}

async function until(holds: () => boolean): Promise<void> {
  for (const endMs = Date.now() + 10_000; !holds(); ) {
    assert.ok(Date.now() < endMs, "not in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const rows: readonly (readonly [string, MisbehavingOptions, string, string, RegExp | undefined])[] =
  [
    ["before its banner", { banner: "hang" }, "a", "timeout, nobody met", undefined],
    ["at EHLO", { ehlo: "hang" }, "a", "timeout, nobody met", /EHLO/],
    ["at RCPT", {}, "hang", "timeout", /RCPT/],
  ];
for (const [stage, host, local, want, command] of rows) {
  test(`patience: a host that is silent ${stage} is left when others need the room`, async () => {
    const { silent, delivery, route, patience, close } = await site(host);
    const job = jobTo(route, [`${local}@to.test`], { patience: patience.signal });
    const delivered = delivery.deliver(job, never);
    await until(() => silent.sessions() > 0);
    if (command) await until(() => silent.commands.some((each) => command.test(each)));
    patience.abort();
    assert.equal(said((await delivered)[0]), want);
    await close();
  });
}

test("patience: where the first host is silent the second has its turn, and the silent one rests", async () => {
  const { silent, delivery, route, patience, rested, close } = await site({ banner: "hang" }, {});
  const job = jobTo(route, ["a@to.test"], { patience: patience.signal });
  const delivered = delivery.deliver(job, never);
  await until(() => silent.sessions() > 0);
  patience.abort();
  assert.equal(said((await delivered)[0]), "delivered");
  assert.deepEqual(rested, [`127.0.0.1:${silent.port} timeout`]);
  await close();
});

test("patience: a message that is on its way is never broken off", async () => {
  const { silent, delivery, route, patience, close } = await site({});
  const job = jobTo(route, ["final-hang@to.test"], { patience: patience.signal });
  const delivered = delivery.deliver(job, never);
  await until(() => silent.commands.some((each) => /DATA/.test(each)));
  await new Promise((resolve) => setTimeout(resolve, 100));
  patience.abort();
  const [outcome] = await delivered;
  assert.match(
    outcome?.reply.text ?? "",
    /took too long at FINAL/,
    "its time for the answer is over",
  );
  await close();
});

test("patience: the message says when it waits for a host and when it is at work", async () => {
  const { delivery, route, close } = await site({});
  const phases: string[] = [];
  const job = jobTo(route, ["a@to.test"], { phase: (phase) => void phases.push(phase) });
  assert.equal(said((await delivery.deliver(job, never))[0]), "delivered");
  assert.deepEqual(phases, ["waits", "works", "waits", "works"]);
  await close();
});
