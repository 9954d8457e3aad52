/** RFC 3461 by real mail: who asks is told, who does not want to be is not, and next hops are asked on. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Misbehaving, misbehaving } from "../../relay/delivery/misbehaving.testkit.ts";
import type { TestClient } from "../../relay/listener/dialog.testkit.ts";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { greeted, say, sendBody } from "./client.ts";
import { drained, type Hosts, startHosts } from "./hosts.ts";
import { parseReport, type Report } from "./report.ts";

const timeout = 60_000;
let hosts: Hosts;
let asked: Misbehaving;
let relay: RelayProcess;

before(async () => {
  hosts = await startHosts(["plain", "home", "store"], { store: { lmtp: true } });
  asked = await misbehaving({ extensions: ["PIPELINING", "DSN"] });
  relay = relayProcess();
  const route = (name: string, host: string): object =>
    hostsRoute(name, { suffixes: [`${name}.test`] }, hosts.target(host));
  relay.routes("all.yaml", [
    route("plain", "plain"),
    route("home", "home"),
    hostsRoute("store", { suffixes: ["store.test"] }, hosts.target("store"), { protocol: "LMTP" }),
    hostsRoute("asked", { suffixes: ["asked.test"] }, [{ host: "127.0.0.1", port: asked.port }]),
    hostsRoute("no", { suffixes: ["no.test"] }, [], { target: { reject: {} } }),
  ]);
  await relay.start();
});

after(async () => {
  await relay.close();
  await asked.close();
  await hosts.close();
});

async function sendAs(sender: string, mail: string, rcpts: readonly string[]): Promise<TestClient> {
  const client = await greeted(relay.port());
  assert.match(await say(client, `MAIL FROM:<${sender}@home.test>${mail}`), /^250 /);
  for (const rcpt of rcpts) assert.match(await say(client, `RCPT TO:${rcpt}`), /^250 /);
  assert.match(await sendBody(client, { subject: sender }), /^250 /);
  client.socket.destroy();
  await drained(relay);
  return client;
}

const reportsTo = (sender: string): readonly Report[] =>
  hosts
    .at("home")
    .filter(({ recipients }) => recipients.includes(`${sender}@home.test`))
    .map(({ text }) => parseReport(text));

async function reportTo(sender: string): Promise<Report> {
  await eventually(() => reportsTo(sender).length > 0, { msMax: 10_000, what: "the report" });
  await drained(relay);
  const [report, ...more] = reportsTo(sender);
  assert.equal(more.length, 0);
  return report as Report;
}

test("notify: success is told where the next hop does not tell it, with the sender's own names", {
  timeout,
}, async () => {
  await sendAs("relayed", " RET=HDRS ENVID=order+2B7", [
    "<a@plain.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Alias+2Ba@old.test",
    "<b@plain.test>",
  ]);
  const { message, recipients, types, text } = await reportTo("relayed");
  assert.equal(message.get("original-envelope-id"), "order+7");
  assert.equal(recipients.length, 1);
  assert.deepEqual(
    ["action", "status", "original-recipient", "final-recipient"].map((name) =>
      recipients[0]?.get(name),
    ),
    ["relayed", "2.0.0", "rfc822;Alias+a@old.test", "rfc822; a@plain.test"],
  );
  assert.equal(types[2], "text/rfc822-headers");
  assert.match(text, /passed on to a mail system that does not tell/);
});

test("notify: what is in the mail store is delivered, not passed on", { timeout }, async () => {
  await sendAs("stored", "", ["<a@store.test> NOTIFY=SUCCESS"]);
  const { recipients } = await reportTo("stored");
  assert.equal(recipients[0]?.get("action"), "delivered");
});

test("notify: a next hop that does it itself is asked in the same words, and we say nothing", {
  timeout,
}, async () => {
  await sendAs("passed", " RET=FULL ENVID=order+2B7", [
    "<a@asked.test> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;Alias+2Ba@old.test",
    "<b@asked.test> NOTIFY=NEVER",
    "<c@asked.test>",
  ]);
  const lines = asked.commands.map((line) => line.replace(/^\d+ /, ""));
  assert.ok(
    lines.some((line) => /^MAIL FROM:<passed@home\.test>.* RET=FULL ENVID=order\+2B7$/.test(line)),
  );
  for (const line of [
    "RCPT TO:<a@asked.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Alias+2Ba@old.test",
    "RCPT TO:<b@asked.test> NOTIFY=NEVER",
    "RCPT TO:<c@asked.test>",
  ])
    assert.ok(lines.includes(line), `${line} in ${lines.join("\n")}`);
  assert.deepEqual(reportsTo("passed"), []);
});

test("notify: who never wants to hear hears nothing of a failure, and who wants all gets all back", {
  timeout,
}, async () => {
  await sendAs("never", "", ["<perm-550-5.1.1@asked.test> NOTIFY=NEVER"]);
  await sendAs("late", "", ["<perm-550-5.1.1@asked.test> NOTIFY=DELAY"]);
  await sendAs("full", " RET=FULL", ["<perm-550-5.1.1@asked.test> NOTIFY=FAILURE"]);
  const { types, original, recipients } = await reportTo("full");
  assert.equal(recipients[0]?.get("action"), "failed");
  assert.equal(types[2], "message/rfc822");
  assert.match(original, /Subject: full\r\n\r\nHello\./);
  for (const sender of ["never", "late"]) assert.deepEqual(reportsTo(sender), [], sender);
});

test("notify: parameters that RFC 3461 does not know are refused by name", {
  timeout,
}, async () => {
  const client = await greeted(relay.port());
  assert.match(await say(client, "EHLO client.test"), /\bDSN\b/);
  for (const wrong of ["RET=BODY", "ENVID=", "ENVID=a=b"])
    assert.match(await say(client, `MAIL FROM:<a@home.test> ${wrong}`), /^501 5\.5\.4 /, wrong);
  assert.match(await say(client, "MAIL FROM:<a@home.test>"), /^250 /);
  for (const wrong of ["NOTIFY=NEVER,DELAY", "NOTIFY=ALWAYS", "ORCPT=alias@old.test"])
    assert.match(await say(client, `RCPT TO:<a@plain.test> ${wrong}`), /^501 5\.5\.4 /, wrong);
  client.socket.destroy();
});
