import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Outcome } from "../outcome.ts";
import { deadPort, deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";
import { createDelivery } from "./delivery.ts";
import { misbehaving } from "./misbehaving.testkit.ts";
import type { MisbehavingOptions } from "./misbehaving-options.testkit.ts";

/** "delivered 250 2.0.0", "deferred timeout 451 4.4.2" ... */
function brief(outcome: Outcome | undefined): string {
  if (outcome === undefined) return "nothing";
  const cause = outcome.kind === "deferred" ? ` ${outcome.cause}` : "";
  return `${outcome.kind}${cause} ${outcome.reply.code} ${outcome.reply.status}`;
}

const ok = "delivered 250 2.0.0";
const lost = "deferred connect 451 4.4.2";
const late = "deferred timeout 451 4.4.2";
const garbled = "deferred protocol 451 4.5.0";

type Case = {
  readonly title: string;
  readonly sender?: string;
  readonly to: readonly string[];
  readonly want: readonly string[];
  readonly hop?: MisbehavingOptions;
};

const bare: MisbehavingOptions = { extensions: [] };
const lmtp: MisbehavingOptions = { protocol: "LMTP" };

const cases: readonly Case[] = [
  { title: "one recipient", to: ["a"], want: [ok] },
  { title: "one recipient without PIPELINING", to: ["a"], want: [ok], hop: bare },
  {
    title: "each recipient by its own reply at RCPT",
    to: ["a", "perm-550-5.1.1", "temp-451-4.2.0", "b"],
    want: [ok, "failed 550 5.1.1", "deferred reply 451 4.2.0", ok],
  },
  {
    title: "each recipient by its own reply without PIPELINING",
    to: ["a", "perm-550-5.1.1", "temp-451-4.2.0", "b"],
    want: [ok, "failed 550 5.1.1", "deferred reply 451 4.2.0", ok],
    hop: bare,
  },
  {
    title: "552 at RCPT as 452, unless it says that the mailbox is full or the message too large",
    to: ["perm-552", "perm-552-5.5.3", "perm-552-5.2.2", "perm-552-5.3.4"],
    want: [
      "deferred reply 452 4.0.0",
      "deferred reply 452 4.5.3",
      "failed 552 5.2.2",
      "failed 552 5.3.4",
    ],
  },
  {
    title: "5xx at MAIL",
    sender: "perm-550-5.7.1",
    to: ["a", "b"],
    want: ["failed 550 5.7.1", "failed 550 5.7.1"],
  },
  { title: "4xx at MAIL", sender: "temp-451", to: ["a"], want: ["deferred reply 451 4.0.0"] },
  {
    title: "530 at MAIL, which is our fault",
    sender: "say-530",
    to: ["a"],
    want: ["deferred auth 530 5.0.0"],
  },
  { title: "535 at RCPT, which is our fault", to: ["say-535"], want: ["deferred auth 535 5.0.0"] },
  {
    title: "538 at DATA, which is our fault",
    to: ["data-say-538"],
    want: ["deferred auth 538 5.0.0"],
  },
  { title: "421 at MAIL", sender: "temp-421-4.3.2", to: ["a"], want: ["deferred reply 421 4.3.2"] },
  {
    title: "421 at RCPT",
    to: ["perm-550", "temp-421", "b"],
    want: ["failed 550 5.0.0", "deferred reply 421 4.0.0", "deferred reply 421 4.0.0"],
    hop: bare,
  },
  { title: "4xx at DATA", to: ["data-temp-452"], want: ["deferred reply 452 4.0.0"] },
  { title: "5xx at DATA", to: ["data-perm-554-5.6.0"], want: ["failed 554 5.6.0"] },
  { title: "250 instead of 354", to: ["data-say-250"], want: [garbled] },
  {
    title: "4xx after the dot",
    to: ["final-temp-452-4.3.1", "b"],
    want: ["deferred reply 452 4.3.1", "deferred reply 452 4.3.1"],
  },
  { title: "5xx after the dot", to: ["final-perm-554-5.7.1"], want: ["failed 554 5.7.1"] },
  { title: "421 after the dot", to: ["final-temp-421"], want: ["deferred reply 421 4.0.0"] },
  { title: "354 after the dot", to: ["final-say-354"], want: [garbled] },
  { title: "354 at RCPT", to: ["say-354"], want: [garbled] },
  { title: "drop at MAIL", sender: "drop", to: ["a"], want: [lost] },
  { title: "drop at RCPT", to: ["a", "drop"], want: [lost, lost] },
  { title: "drop at DATA", to: ["data-drop"], want: [lost] },
  { title: "drop in the message", to: ["body-drop"], want: [lost] },
  { title: "drop after the dot", to: ["final-drop"], want: [lost] },
  { title: "garbage at MAIL", sender: "garbage", to: ["a"], want: [garbled] },
  { title: "garbage at RCPT", to: ["garbage"], want: [garbled] },
  { title: "garbage after the dot", to: ["final-garbage"], want: [garbled] },
  { title: "an endless reply at MAIL", sender: "endless", to: ["a"], want: [garbled] },
  { title: "an endless reply at RCPT", to: ["endless"], want: [garbled] },
  { title: "an endless reply after the dot", to: ["final-endless"], want: [garbled] },
  { title: "silence at MAIL", sender: "hang", to: ["a"], want: [late] },
  { title: "silence at RCPT", to: ["a", "hang"], want: [late, late] },
  { title: "silence at DATA", to: ["data-hang"], want: [late] },
  { title: "silence after the dot", to: ["final-hang"], want: [late] },
  { title: "a slow RCPT", to: ["slow"], want: [ok] },
  {
    title: "a 4xx banner",
    to: ["a"],
    want: ["deferred reply 450 4.0.0"],
    hop: { banner: "temp-450" },
  },
  {
    title: "a 5xx banner",
    to: ["a"],
    want: ["deferred reply 554 5.0.0"],
    hop: { banner: "perm-554" },
  },
  {
    title: "a 421 banner",
    to: ["a"],
    want: ["deferred reply 421 4.0.0"],
    hop: { banner: "temp-421" },
  },
  { title: "a banner of garbage", to: ["a"], want: [garbled], hop: { banner: "garbage" } },
  { title: "an endless banner", to: ["a"], want: [garbled], hop: { banner: "endless" } },
  { title: "a silent banner", to: ["a"], want: [late], hop: { banner: "hang" } },
  { title: "a drop instead of a banner", to: ["a"], want: [lost], hop: { banner: "drop" } },
  {
    title: "4xx at EHLO",
    to: ["a"],
    want: ["deferred reply 450 4.0.0"],
    hop: { ehlo: "temp-450" },
  },
  {
    title: "5xx at EHLO and HELO",
    to: ["a"],
    want: ["deferred reply 554 5.0.0"],
    hop: { ehlo: "perm-554" },
  },
  { title: "silence at EHLO", to: ["a"], want: [late], hop: { ehlo: "hang" } },
  { title: "a drop at EHLO", to: ["a"], want: [lost], hop: { ehlo: "drop" } },
  { title: "LMTP", to: ["a", "b"], want: [ok, ok], hop: lmtp },
  {
    title: "LMTP with an answer for each recipient",
    to: ["a", "final-perm-552-5.2.2", "perm-550-5.1.1", "final-temp-452", "b"],
    want: [ok, "failed 552 5.2.2", "failed 550 5.1.1", "deferred reply 452 4.0.0", ok],
    hop: lmtp,
  },
  {
    title: "LMTP that drops between two answers",
    to: ["a", "final-drop", "b"],
    want: [ok, lost, lost],
    hop: lmtp,
  },
  { title: "LMTP with all refused", to: ["perm-550"], want: ["failed 550 5.0.0"], hop: lmtp },
];

for (const { title, sender = "sender", to, want, hop = {} } of cases) {
  test(`delivery: ${title}`, async () => {
    const next = await misbehaving(hop);
    const delivery = deliveryFor();
    const { protocol = "SMTP" } = hop;
    const route = routeTo([{ port: next.port }], { protocol });
    const recipients = to.map((local) => `${local}@to.test`);
    const job = jobTo(route, recipients, { sender: `${sender}@from.test` });
    const outcomes = await delivery.deliver(job, never);
    assert.deepEqual(outcomes.map(brief), want);
    for (const outcome of outcomes) assert.equal(outcome.hop, `127.0.0.1:${next.port}`);
    await delivery.close({ graceMs: 0 });
    await next.close();
  });
}

test("delivery: any body arrives byte for byte, dots, long lines and 8-bit octets included", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor();
  const route = routeTo([{ port: next.port }]);
  const piece = fc.constantFrom(
    ".",
    "..",
    "\r\n",
    "\r\n.\r\n",
    "\r\n..",
    "a.b",
    "é\u00ff",
    "x".repeat(1200),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 40 }), async (pieces) => {
      const body = Buffer.from(`${pieces.join("")}\r\n`, "latin1");
      const [outcome] = await delivery.deliver(jobTo(route, ["a@to.test"], { body }), never);
      assert.equal(outcome?.kind, "delivered");
      assert.deepEqual(next.messages.at(-1)?.body, body);
    }),
    { numRuns: 60 },
  );
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("delivery: a message of many megabytes goes whole to a hop that reads slowly", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor({ limits: { dataBlockMsMax: 60_000, dataDoneMsMax: 60_000 } });
  const body = Buffer.alloc(5_000_002, "line of text\r\n.", "latin1");
  body.write("\r\n", 5_000_000);
  const job = jobTo(routeTo([{ port: next.port }]), ["a@to.test"], { body });
  const [outcome] = await delivery.deliver(job, never);
  assert.equal(outcome?.kind, "delivered");
  assert.deepEqual(next.messages[0]?.body, body);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("delivery: SIZE, BODY=8BITMIME and SMTPUTF8 are said where offered and needed", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor();
  const route = routeTo([{ port: next.port }]);
  const job = jobTo(route, ["ä@to.test"], { eightBit: true, sender: "" });
  const [outcome] = await delivery.deliver(job, never);
  assert.equal(outcome?.kind, "delivered");
  assert.deepEqual(next.commands.slice(1), [
    `1 MAIL FROM:<> SIZE=${job.body.length} BODY=8BITMIME SMTPUTF8`,
    "1 RCPT TO:<ä@to.test>",
    "1 DATA",
  ]);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("delivery: without SMTPUTF8 at the next hop only what needs it fails, with 5.6.7", async () => {
  const next = await misbehaving({ extensions: ["PIPELINING"] });
  const delivery = deliveryFor();
  const route = routeTo([{ port: next.port }]);
  const some = await delivery.deliver(
    jobTo(route, ["ä@to.test", "a@to.test"], { eightBit: true }),
    never,
  );
  assert.deepEqual(some.map(brief), ["failed 553 5.6.7", ok]);
  const all = await delivery.deliver(jobTo(route, ["a@to.test"], { smtputf8: true }), never);
  assert.deepEqual(all.map(brief), ["failed 553 5.6.7"]);
  assert.equal(next.messages.length, 1);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("delivery: a message over the announced SIZE fails before it is sent", async () => {
  const next = await misbehaving({ extensions: ["PIPELINING", "SIZE 10"] });
  const delivery = deliveryFor();
  const outcomes = await delivery.deliver(
    jobTo(routeTo([{ port: next.port }]), ["a@to.test"]),
    never,
  );
  assert.deepEqual(outcomes.map(brief), ["failed 552 5.3.4"]);
  assert.equal(next.commands.length, 1);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("delivery: an address that would write a command of its own is refused, the others go", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor();
  const route = routeTo([{ port: next.port }]);
  const evil = [
    "a@to.test>\r\nRCPT TO:<b@to.test",
    "a\u0000@to.test",
    "a@to.test> X=<",
    "",
    "a@to.test",
  ];
  const outcomes = await delivery.deliver(jobTo(route, evil), never);
  const refused = "failed 553 5.1.3";
  assert.deepEqual(outcomes.map(brief), [refused, refused, refused, refused, ok]);
  const job = jobTo(route, ["a@to.test"], { sender: "a@b\r\nQUIT" });
  assert.deepEqual((await delivery.deliver(job, never)).map(brief), ["failed 553 5.1.7"]);
  const helo = routeTo([{ port: next.port }], { heloName: "x\r\nQUIT" });
  const unsaid = await delivery.deliver(jobTo(helo, ["a@to.test"]), never);
  assert.deepEqual(unsaid.map(brief), ["deferred local 451 4.3.5"]);
  assert.deepEqual(next.messages[0]?.recipients, ["a@to.test"]);
  assert.throws(() => deliveryFor({ hostname: "x\r\ny" }), TypeError);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("delivery: a quoted local part with spaces and brackets is an address like any other", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor();
  const job = jobTo(routeTo([{ port: next.port }]), ['"a b<c>\\"d"@to.test']);
  assert.deepEqual((await delivery.deliver(job, never)).map(brief), [ok]);
  assert.equal(next.commands[2], '1 RCPT TO:<"a b<c>\\"d"@to.test>');
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("delivery: inbound goes to the mail store by its protocol, and waits where there is none", async () => {
  const next = await misbehaving({ protocol: "LMTP" });
  const hosts = [{ host: "127.0.0.1", port: next.port, priority: 1, weight: 1 }];
  const delivery = deliveryFor({ inbound: { hosts, protocol: "LMTP" } });
  const route = routeTo([], { target: { kind: "inbound" } });
  const taken = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
  assert.deepEqual(taken.map(brief), [ok]);
  const [outcome] = taken;
  assert.ok(outcome?.kind === "delivered" && outcome.stored === true, "it goes no further");
  const without = deliveryFor();
  const outcomes = await without.deliver(jobTo(route, ["a@to.test"]), never);
  assert.deepEqual(outcomes.map(brief), ["deferred unavailable 451 4.3.5"]);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("delivery: a host that is this system itself is a loop, unless another takes the mail", async () => {
  const next = await misbehaving();
  const ownAddresses = () => [{ address: "0.0.0.0", port: 2525 }];
  const delivery = deliveryFor({ ownAddresses });
  const own = { port: 2525, priority: 1 };
  const alone = await delivery.deliver(jobTo(routeTo([own]), ["a@to.test"]), never);
  assert.deepEqual(alone.map(brief), ["failed 554 5.4.6"]);
  const two = routeTo([own, { port: next.port, priority: 2 }]);
  assert.deepEqual((await delivery.deliver(jobTo(two, ["a@to.test"]), never)).map(brief), [ok]);
  const dead = routeTo([
    { port: await deadPort(), priority: 1 },
    { port: 2525, priority: 2 },
  ]);
  const waits = await delivery.deliver(jobTo(dead, ["a@to.test"]), never);
  assert.deepEqual(waits.map(brief), ["deferred connect 451 4.4.1"]);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("delivery: an aborted signal and a closed delivery defer as shutdown", async () => {
  const next = await misbehaving();
  const delivery = deliveryFor({ limits: { rcptMsMax: 10_000 } });
  const route = routeTo([{ port: next.port }]);
  const stop = new AbortController();
  const hanging = delivery.deliver(jobTo(route, ["hang@to.test"]), stop.signal);
  const one = routeTo([{ port: next.port }], { delivery: { maxConnections: 1 } });
  const waiting = delivery.deliver(jobTo(one, ["a@to.test"]), stop.signal);
  setTimeout(() => stop.abort(), 50);
  const shut = "deferred shutdown 451 4.3.2";
  assert.deepEqual((await hanging).map(brief), [shut]);
  assert.equal((await waiting).length, 1);
  assert.deepEqual((await delivery.deliver(jobTo(route, ["a@to.test"]), stop.signal)).map(brief), [
    shut,
  ]);
  const cut = delivery.deliver(jobTo(route, ["hang@to.test"]), never);
  setTimeout(() => void delivery.close({ graceMs: 30 }), 50);
  assert.deepEqual((await cut).map(brief), [shut]);
  assert.deepEqual((await delivery.deliver(jobTo(route, ["a@to.test"]), never)).map(brief), [shut]);
  await next.close();
});

test("delivery: never rejects, and says where the bug was", async () => {
  const bugs: unknown[] = [];
  const delivery = createDelivery({
    hostname: "relay.test",
    resolver: {
      srv: async () => ({ kind: "none" }),
      mx: () => Promise.reject(new Error("boom")),
      txt: () => Promise.reject(new Error("boom")),
      addresses: () => Promise.reject(new Error("boom")),
      close() {},
    },
    credentials: { get: () => undefined },
    events: { bug: (error) => bugs.push(error) },
  });
  const job = jobTo(routeTo([], { target: { kind: "mx" } }), ["a@to.test", "b@to.test"]);
  const local = "deferred local 451 4.3.0";
  assert.deepEqual((await delivery.deliver(job, never)).map(brief), [local, local]);
  const named = jobTo(routeTo([{ host: "hop.test" }]), ["a@to.test"]);
  assert.deepEqual((await delivery.deliver(named, never)).map(brief), [local]);
  const reject = routeTo([], { target: { kind: "discard" } });
  assert.deepEqual((await delivery.deliver(jobTo(reject, ["a@to.test"]), never)).map(brief), [
    local,
  ]);
  assert.equal(bugs.length, 3);
  await delivery.close({ graceMs: 0 });
});
