/** `mailroute queue` against a relay process: what a postmaster does with mail that waits, and what waits for him. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { askRelay } from "../../cli/relay-door.ts";
import type { Listed } from "../../relay/queue/orders.ts";
import { hostsRoute, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { type Received, type Sink, startSink } from "../ledger/sink.ts";
import { idIn, send } from "./client.ts";
import { mailroute, type Said } from "./command.ts";

const msMax = 20_000;
const token = "a token of twenty-four characters".replaceAll(" ", "-");

let directory: string;
let sink: Sink;
let relay: RelayProcess;
const received: Received[] = [];
/** The sink answers 450 to whoever is in here. */
const notNow = new Set<string>();

before(async () => {
  sink = await startSink({
    received: (message) => void received.push(message),
    refuse: (recipient) => (notNow.has(recipient) ? "450 4.2.1 not now" : undefined),
  });
  directory = mkdtempSync(join(tmpdir(), "mailroute-queue-"));
  writeFileSync(tokenFile(), `${token}\n`);
  relay = relayProcess({ admin: { host: "127.0.0.1", port: 0, queueTokenFile: tokenFile() } });
  relay.routes("a.yaml", [toSink("a", "a.test"), toSink("sender", "home.test")]);
  await relay.start();
});

after(async () => {
  await relay.close();
  await sink.close();
  rmSync(directory, { recursive: true });
});

const tokenFile = () => join(directory, "token");
const hosts = () => [{ host: "127.0.0.1", port: sink.port }];
const toSink = (name: string, suffix: string) => hostsRoute(name, { suffixes: [suffix] }, hosts());
const socketPath = () => join(relay.directory, "spool/control.sock");
const queue = (...args: readonly string[]): Said =>
  mailroute(["queue", ...args, "--socket", socketPath()]);

/** What `mailroute queue list --json` prints, without the process. */
async function listed(query = ""): Promise<Listed[]> {
  const messages: Listed[] = [];
  const asked = { path: `/queue?limit=1000&${query}` };
  const problem = await askRelay({ kind: "socket", path: socketPath() }, asked, (line) => {
    messages.push(JSON.parse(line) as Listed);
  });
  assert.equal(problem, undefined);
  return messages;
}

const arrived = (address: string): Received[] =>
  received.filter(({ recipients }) => recipients.includes(address));

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!(await holds())) {
    assert.ok(performance.now() < endMs, `not in time: ${what}`);
    await sleep(20);
  }
}

/** Takes a message whose recipients all get 450, and waits until they have. */
async function waiting(to: readonly string[], more: { from?: string } = {}): Promise<string> {
  for (const each of to) notNow.add(each);
  const id = idIn((await send(relay.port(), { to, ...more })).data);
  const isTried = async () =>
    (await recipientsOf(id)).every(({ attempts, underWay }) => attempts > 0 && !underWay);
  await until(isTried, `${id} has been tried`);
  for (const each of to) notNow.delete(each);
  return id;
}

const recipientsOf = async (id: string) =>
  (await listed()).filter((each) => each.id === id).flatMap(({ recipients }) => recipients);

test("queue: a message that waits is listed with its route, its last reply and its next attempt", async () => {
  const id = await waiting(["one@a.test"]);
  const { out } = queue("list", "--recipient", "one@a.test");
  assert.match(out[0] ?? "", new RegExp(`^${id}  \\d+ B  \\d+s  from <sender@home.test>$`));
  assert.match(
    out[1] ?? "",
    /^ {4}to <one@a\.test> by mail\/a, 1 attempt, next in \d+[sm]: 450 4\.2\.1 not now/,
  );
  assert.match(queue("show", id, "--header").out.join("\n"), /^Subject: acceptance$/m);
  const said = queue("retry", id);
  assert.deepEqual(said.out, ["retry: 1 message, 1 recipient"]);
  await until(() => arrived("one@a.test").length === 1, "it arrives at once");
  assert.deepEqual(await recipientsOf(id), []);
});

test("queue: what is held is tried by nobody, also after a restart, until it is released", async () => {
  const id = await waiting(["held@a.test"]);
  assert.equal(queue("hold", id, "--why", "looks odd").code, 0);
  queue("retry", id);
  await relay.kill("SIGKILL");
  await relay.start();
  await sleep(200);
  assert.equal(arrived("held@a.test").length, 0);
  const [held, ...more] = await listed("held");
  assert.deepEqual([held?.id, held?.held?.why, more.length], [id, "looks odd", 0]);
  assert.match(await metrics(), /^mailroute_queue_held 1$/m);
  queue("release", "--held");
  await until(() => arrived("held@a.test").length === 1, "it arrives");
  assert.match(await metrics(), /^mailroute_queue_held 0$/m);
});

const metrics = async (): Promise<string> =>
  await (await fetch(`http://127.0.0.1:${relay.adminPort()}/metrics`)).text();

test("queue: removed recipients are gone, and nobody is told but the log", async () => {
  const id = await waiting(["stay@a.test", "gone@a.test"]);
  assert.deepEqual(queue("remove", id, "--recipient", "gone@a.test").out, [
    "remove: 1 message, 1 recipient",
  ]);
  const left = (await recipientsOf(id)).map(({ address }) => address);
  assert.deepEqual(left, ["stay@a.test"]);
  queue("retry", id);
  await until(() => arrived("stay@a.test").length === 1, "the other one arrives");
  assert.equal(arrived("gone@a.test").length, 0);
  assert.equal(arrived("sender@home.test").length, 0);
  const told = relay.log().filter(({ event }) => event === "ordered");
  assert.ok(told.some((line) => line["order"] === "remove" && line["to"] === "gone@a.test"));
});

test("queue: the sender of a bounced message gets a report with the reason", async () => {
  const id = await waiting(["back@a.test"]);
  queue("bounce", id, "--why", "we do not send this");
  await until(() => arrived("sender@home.test").length === 1, "the report arrives");
  const text = arrived("sender@home.test")[0]?.body.toString() ?? "";
  assert.match(text, /^Action: failed\r?$/m);
  assert.match(text, /we do not send this/);
  assert.deepEqual(await recipientsOf(id), []);
});

test("queue: mail whose route was withdrawn goes another way only when somebody says so", async () => {
  relay.routes("w.yaml", [toSink("w", "sub.w.test")]);
  await until(() => relay.log().some(({ event, keys }) => event === "table" && keys === 3), "w");
  const id = await waiting(["x@sub.w.test"]);
  relay.routes("w.yaml", [hostsRoute("w", { suffixes: ["."] }, hosts())]);
  const isWithdrawn = async () =>
    (await recipientsOf(id)).some(({ last }) => /withdrawn/.test(last));
  await until(isWithdrawn, "it is told to be withdrawn");
  assert.equal(arrived("x@sub.w.test").length, 0);
  assert.deepEqual(queue("reroute", id).out, ["reroute: 1 message, 1 recipient"]);
  await until(() => arrived("x@sub.w.test").length === 1, "it arrives by the other");
  relay.routes("w.yaml", undefined);
});

test("queue: an order that names nothing, a wrong filter and an unknown id are told apart", () => {
  const nothing = queue("remove");
  assert.equal(nothing.code, 1);
  assert.match(nothing.err, /name messages by id or filter, or say all/);
  assert.match(queue("hold", "--older-than", "soon").err, /write it like 90s, 15m, 2h or 3d/);
  assert.match(queue("list", "--sender", "no address").err, /is not a mail address/);
  assert.match(queue("show", "NOSUCHID").err, /there is no such message/);
  assert.match(queue("burn", "--all").err, /queue needs one of list, show, hold/);
  assert.deepEqual(queue("hold", "NOSUCHID").out, ["hold: 0 messages, 0 recipients"]);
  const { err } = mailroute(["queue", "list", "--socket", join(relay.directory, "none.sock")]);
  assert.match(err, /no relay answers at .*none\.sock: is it running/);
});

test("queue: a dry run counts and changes nothing", async () => {
  const id = await waiting(["dry@a.test"]);
  assert.deepEqual(queue("remove", "--domain", "a.test", "--dry-run").out, [
    "remove would reach 1 message, 1 recipient",
  ]);
  queue("retry", id);
  await until(() => arrived("dry@a.test").length === 1, "it is still there, and arrives");
});

test("queue: over HTTP it is for whoever shows the token, and its socket for the relay's user", async () => {
  const url = `http://127.0.0.1:${relay.adminPort()}`;
  const ask = async (headers: Record<string, string>) =>
    (await fetch(`${url}/queue`, { headers })).status;
  assert.equal(await ask({}), 401);
  assert.equal(await ask({ authorization: "Bearer guessed" }), 401);
  assert.equal(await ask({ authorization: `Bearer ${token}` }), 200);
  const file = tokenFile();
  assert.deepEqual(mailroute(["queue", "list", "--url", url, "--token-file", file]).out, [
    "no messages",
  ]);
  writeFileSync(file, "short\n");
  assert.equal(await ask({ authorization: "Bearer short" }), 401);
  assert.equal(statSync(join(relay.directory, "spool/control.sock")).mode & 0o777, 0o600);
});

test("queue: a message at which the relay died three times is held, and no other", async () => {
  const silent = createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  const hanging = hostsRoute("h", { suffixes: ["h.test"] }, [{ host: "127.0.0.1", port }]);
  relay.routes("h.yaml", [hanging]);
  const tables = () => relay.log().filter(({ event }) => event === "table").length;
  const known = tables();
  await until(() => tables() > known, "the route");
  const id = idIn((await send(relay.port(), { to: ["u@h.test"] })).data);
  const waits = await waiting(["later@a.test"]);
  const isUnderWay = async () => (await recipientsOf(id)).some(({ underWay }) => underWay);
  for (let death = 1; death <= 3; death += 1) {
    await until(isUnderWay, `delivery before death ${death}`);
    await relay.kill("SIGKILL");
    await relay.start();
  }
  const held = await listed("held");
  assert.deepEqual(
    held.map((each) => each.id),
    [id],
  );
  assert.match(held[0]?.held?.why ?? "", /the relay died 3 times while it delivered this message/);
  assert.ok(relay.log().some((line) => line["event"] === "held" && line["id"] === id));
  queue("remove", id);
  queue("retry", waits);
  await until(() => arrived("later@a.test").length === 1, "the other one arrives");
  silent.close();
});

test("queue: a spool that was put back from a copy starts held; new mail flows", async () => {
  const id = await waiting(["twice@a.test"]);
  const copy = join(relay.directory, "copy");
  await relay.kill("SIGTERM");
  cpSync(join(relay.directory, "spool"), copy, { recursive: true });
  await relay.start();
  queue("retry", id);
  await until(() => arrived("twice@a.test").length === 1, "it arrives");
  await relay.kill("SIGTERM");
  rmSync(join(relay.directory, "spool"), { recursive: true });
  cpSync(copy, join(relay.directory, "spool"), { recursive: true });
  await relay.start();
  await send(relay.port(), { to: ["new@a.test"] });
  await until(() => arrived("new@a.test").length === 1, "new mail arrives");
  const held = await listed("held");
  assert.deepEqual(
    held.map((each) => each.id),
    [id],
  );
  assert.match(held[0]?.held?.why ?? "", /put back from a copy/);
  assert.equal(arrived("twice@a.test").length, 1);
  // It is so once: what is released stays so.
  queue("release", "--all");
  await until(() => arrived("twice@a.test").length === 2, "it is released");
});
