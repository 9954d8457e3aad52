/** What goes over the wire when a message is signed, and when it cannot be. */
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { type TestContext, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Signer } from "../../../routing/route.ts";
import { free } from "../../free.ts";
import { deliveryFor, jobTo, never, routeTo } from "../delivery.testkit.ts";
import type { Credential } from "../delivery.ts";
import { misbehaving } from "../misbehaving.testkit.ts";

const pem = (key: { export(options: { type: "pkcs8"; format: "pem" }): string | Buffer }): string =>
  key.export({ type: "pkcs8", format: "pem" }).toString();
const rsa = pem(generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey);
const weak = pem(generateKeyPairSync("rsa", { modulusLength: 512 }).privateKey);
const ec = pem(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);

const signer: Signer = {
  domain: "corp.test",
  selector: "s1",
  key: { secret: "mail/dkim", version: "1" },
};

async function bench(context: TestContext, dkimKey: string | undefined) {
  const stock = new Map<string, Credential>();
  if (dkimKey !== undefined) stock.set("mail/dkim 1", { dkimKey });
  const next = await misbehaving();
  const results: string[] = [];
  const delivery = deliveryFor({
    credentials: { get: ({ secret, version }) => stock.get(`${secret} ${version}`) },
    events: { signed: ({ result }) => results.push(result) },
  });
  context.after(async () => {
    await delivery.close({ graceMs: 0 });
    await next.close();
  });
  const send = async (body: Buffer, by: Signer = signer, id?: string) => {
    const more = id === undefined ? {} : { id };
    const job = jobTo(routeTo([{ port: next.port }]), ["a@to.test"], { body, signer: by, ...more });
    const [outcome] = await delivery.deliver(job, never);
    return outcome;
  };
  return { next, stock, send, results };
}

const message = Buffer.from("From: a@corp.test\r\nSubject: x\r\n\r\nHello.\r\n.dot\r\n\r\n");

test("dkim: the signature stands before the message, of which no byte is changed, and SIZE counts it", async (context) => {
  const { next, send, results } = await bench(context, rsa);
  assert.equal((await send(message))?.kind, "delivered");
  const sent = next.messages[0]?.body ?? Buffer.alloc(0);
  assert.match(
    sent.toString(),
    /^DKIM-Signature: v=1; a=rsa-sha256; c=relaxed\/simple;\r\n d=corp\.test; s=s1;\r\n/,
  );
  assert.deepEqual(sent.subarray(-message.length), message);
  const mail = next.commands.find((line) => line.includes("MAIL FROM"));
  assert.match(mail ?? "", new RegExp(` SIZE=${sent.length}$`));
  assert.ok(
    sent
      .toString("latin1")
      .split("\r\n")
      .every((line) => line.length <= 78),
  );
  assert.deepEqual(results, ["signed"]);
});

test("dkim: who gives up waits for the hash, and uses the message no more when it is told so", async (context) => {
  const { next, stock } = await bench(context, rsa);
  const bugs: unknown[] = [];
  const delivery = deliveryFor({
    credentials: { get: () => stock.get("mail/dkim 1") },
    events: { bug: (error) => void bugs.push(error) },
  });
  context.after(() => delivery.close({ graceMs: 0 }));
  const body = Buffer.from(new ArrayBuffer(20_000_000));
  body.set(message);
  const patience = new AbortController();
  const more = { body, signer, patience: patience.signal };
  const delivered = delivery.deliver(
    jobTo(routeTo([{ port: next.port }]), ["a@to.test"], more),
    never,
  );
  await turn();
  patience.abort();
  assert.equal((await delivered)[0]?.kind, "deferred");
  free([body]);
  for (let turns = 50; turns > 0; turns -= 1) await turn();
  assert.deepEqual([bugs, next.commands], [[], []]);
});

test("dkim: a message is signed once for each way, and again only by another key", async (context) => {
  const { next, stock, send } = await bench(context, rsa);
  await send(message, signer, "one");
  await send(message, signer, "one");
  stock.set("mail/dkim 2", { dkimKey: rsa });
  const rotated = { ...signer, selector: "s2", key: { secret: "mail/dkim", version: "2" } };
  await send(message, rotated, "one");
  const [first, second, third] = next.messages.map(({ body }) => body.toString());
  assert.equal(first, second);
  assert.match(third ?? "", /s=s2;/);
});

test("dkim: a big body is signed and sent without another copy of it", async (context) => {
  const { next, send } = await bench(context, rsa);
  const line = `${"x".repeat(98)}\r\n`;
  const body = Buffer.from(`From: a@corp.test\r\n\r\n${line.repeat(22_000)}`);
  assert.equal((await send(body))?.kind, "delivered");
  const sent = next.messages[0]?.body ?? Buffer.alloc(0);
  assert.ok(sent.subarray(-body.length).equals(body));
  const hash = createHash("sha256").update(line.repeat(22_000)).digest("base64");
  assert.ok(sent.toString("latin1", 0, 1000).includes(` bh=${hash};`));
});

const unable: readonly { title: string; key: string | undefined; by?: Signer; why: RegExp }[] = [
  { title: "is not here yet", key: undefined, why: /version 1 of Secret mail\/dkim is not here/ },
  { title: "is no key", key: "secret text", why: /has no usable dkim\.key/ },
  { title: "is too short", key: weak, why: /has no usable dkim\.key/ },
  { title: "is of another kind", key: ec, why: /has no usable dkim\.key/ },
  {
    title: "could not be lent",
    key: rsa,
    by: { domain: "corp.test", selector: "s1", unavailable: "Secret mail/dkim does not exist" },
    why: /Secret mail\/dkim does not exist/,
  },
];

for (const { title, key, by, why } of unable) {
  test(`dkim: where the key ${title} mail waits, and nothing goes unsigned`, async (context) => {
    const { next, send, results } = await bench(context, key);
    const outcome = await send(message, by);
    assert.equal(outcome?.kind === "deferred" && outcome.cause, "unavailable");
    assert.equal(outcome?.reply.status, "4.3.5");
    assert.match(outcome?.reply.text ?? "", why);
    assert.doesNotMatch(outcome?.reply.text ?? "", /secret text|PRIVATE/);
    assert.equal(next.sessions(), 0);
    assert.deepEqual(results, ["unavailable"]);
  });
}
