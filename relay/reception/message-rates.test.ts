import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client } from "../listener/reception.ts";
import type { Submitter } from "../policy/submitter.ts";
import { messageRates } from "./message-rates.ts";

const hour = 3_600_000;
const client: Client = {
  sessionId: "s",
  address: "192.0.2.1",
  port: 40_000,
  listener: "smtp",
  localAddress: "198.51.100.1",
  localPort: 25,
};
const submitter = (max: number): Submitter => {
  return { name: "shop/app", keys: [], hourly: { key: "namespace shop", max }, stale: false };
};

/** How many messages that many relays together take of a namespace which tries each minute for so many hours. */
function takenBy(relays: number, max: number, hours: number): number {
  let nowMs = 0;
  const options = { limits: { messagesPerClientMinuteMax: 1 }, now: () => nowMs };
  const all = Array.from({ length: relays }, () => messageRates(options));
  let taken = 0;
  for (; nowMs < hours * hour; nowMs += 60_000) {
    for (const tooMany of all)
      if (tooMany({ client, trusted: true, submitter: submitter(max), relays }) === undefined)
        taken += 1;
  }
  return taken;
}

for (const [relays, max] of [
  [1, 3],
  [10, 3],
  [7, 1],
  [4, 40],
] as const) {
  test(`message rates: ${max} an hour are no more of ${relays} relays, in the long run`, () => {
    const hours = 100;
    const atOnce = Math.max(relays, max);
    const taken = takenBy(relays, max, hours);
    assert.ok(taken <= max * hours + atOnce, `${taken} taken`);
    assert.ok(taken >= max * hours * 0.9, `${taken} taken`);
  });
}

test("message rates: who is too early is told when to come again, strangers 450 and identities 451", () => {
  const options = { limits: { messagesPerClientMinuteMax: 1 }, now: () => 0 };
  const tooMany = messageRates(options);
  const stranger = { client, trusted: false, submitter: undefined, relays: 2 };
  const known = { client, trusted: true, submitter: submitter(1), relays: 2 };
  assert.equal(tooMany(stranger), undefined);
  assert.deepEqual(tooMany(stranger), {
    code: 450,
    status: "4.7.1",
    text: "too many messages, come again in 60 s",
  });
  assert.equal(tooMany(known), undefined);
  assert.deepEqual(tooMany(known), {
    code: 451,
    status: "4.7.1",
    text: "too many messages, come again in 7200 s",
  });
  assert.equal(tooMany({ ...stranger, trusted: true }), undefined);
});
