import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { KubeObject } from "../kube/api.ts";
import { ApiServer, failure } from "../kube/api-server.testkit.ts";
import { areSame, type Condition, conditionsOf, type Draft } from "./conditions.ts";
import { createOperatorLog } from "./log.ts";
import { StatusWriter } from "./status-writer.ts";

const path = "/apis/mailroute.dev/v1alpha1/namespaces/mail/mailroutes";
const served: Draft = { type: "Programmed", status: "True", reason: "Programmed", message: "yes" };
const behind: Draft = {
  type: "Programmed",
  status: "False",
  reason: "RelaysBehind",
  message: "no",
};
const accepted: Draft = { type: "Accepted", status: "True", reason: "Accepted", message: "yes" };
const invalid: Draft = { type: "Accepted", status: "False", reason: "Invalid", message: "bad" };

let server: ApiServer;
let problems: string[];
let notes: string[];
let plans: number;

beforeEach(async () => {
  server = await ApiServer.start();
  problems = [];
  notes = [];
  plans = 0;
});

afterEach(async () => {
  await server.close();
});

function writerOf(options: { concurrencyMax?: number; nowMs?: number } = {}): StatusWriter {
  const { concurrencyMax = 10, nowMs = 1_000_000_000_000 } = options;
  const write = (line: string) => problems.push(line);
  return new StatusWriter({
    api: server.api,
    log: createOperatorLog({ write, now: () => 0 }),
    now: () => nowMs,
    concurrencyMax,
    note: ({ metadata }, { reason }) => notes.push(`${String(metadata?.["name"])} ${reason}`),
  });
}

/** The conditions are to be the drafts, each of which is a fact of its own. */
function write(writer: StatusWriter, object: KubeObject, ...drafts: readonly Draft[]): void {
  const plural = object.metadata?.["namespace"] === undefined ? "mailgrants" : "mailroutes";
  const [first, second] = drafts;
  writer.write(plural, object, { first, second }, (standing, facts) => {
    plans += 1;
    const before = ((standing["status"] ?? {}) as { conditions?: Condition[] }).conditions ?? [];
    const next = [facts.first, facts.second].filter((draft) => draft !== undefined);
    const conditions = conditionsOf(next, before, { generation: 1, now: facts.now });
    return areSame(before, conditions) ? undefined : { conditions };
  });
}

function put(name: string): KubeObject {
  const spec = { target: { hosts: [{ host: "mx.test", port: 25 }] } };
  return server.set(`${path}/${name}`, { metadata: { namespace: "mail", generation: 1 }, spec });
}

function conditionOf(name: string, type: string): Readonly<Record<string, unknown>> {
  const status = server.get(`${path}/${name}`)?.["status"] as {
    conditions: Record<string, unknown>[];
  };
  return status.conditions.find((each) => each["type"] === type) ?? {};
}

const writes = () => server.requests.filter(({ method }) => method === "PATCH");

test("status: is written under the status subresource, upon the very object that was judged", async () => {
  const writer = writerOf();
  const object = put("a");
  write(writer, object, accepted, served);
  await writer.settled();
  assert.equal(writes()[0]?.path, `${path}/a/status`);
  assert.deepEqual(writes()[0]?.body.metadata, { uid: object.metadata?.["uid"] });
  assert.equal(conditionOf("a", "Programmed")["status"], "True");
  assert.equal(conditionOf("a", "Programmed")["lastTransitionTime"], "2001-09-09T01:46:40.000Z");
});

test("status: the same again is not written, neither before the watch brings it nor after", async () => {
  const writer = writerOf();
  const object = put("a");
  for (let count = 0; count < 3; count++) {
    write(writer, object, accepted, served);
    await writer.settled();
  }
  const seen = server.get(`${path}/a`) as KubeObject;
  write(writer, seen, accepted, served);
  await writer.settled();
  await writerOf().settled();
  const other = writerOf();
  write(other, seen, accepted, served);
  await other.settled();
  assert.equal(writes().length, 1);
});

test("status: what is made of the same is not even thought about again", async () => {
  const writer = writerOf();
  const object = put("a");
  for (let count = 0; count < 5; count++) write(writer, object, accepted, served);
  await writer.settled();
  for (let count = 0; count < 5; count++) write(writer, object, accepted, served);
  assert.equal(plans, 1);
});

test("status: the owner is told of what has changed, after it stands, and only then", async () => {
  const writer = writerOf();
  const object = put("a");
  server.intercept = () => failure(500, "InternalError");
  write(writer, object, invalid, served);
  await writer.settled();
  assert.deepEqual(notes, []);
  server.intercept = () => undefined;
  write(writer, object, invalid, served);
  await writer.settled();
  assert.deepEqual(notes, ["a Invalid"]);
  write(writer, object, accepted, served);
  await writer.settled();
  assert.deepEqual(notes, ["a Invalid", "a Accepted"]);
});

test("status: what belongs to the cluster has no namespace in its path", async () => {
  const grants = "/apis/mailroute.dev/v1alpha1/mailgrants";
  const object = server.set(`${grants}/corp`, { metadata: { generation: 1 }, spec: {} });
  const writer = writerOf();
  write(writer, object, accepted);
  await writer.settled();
  assert.equal(writes()[0]?.path, `${grants}/corp/status`);
  assert.notEqual(server.get(`${grants}/corp`)?.["status"], undefined);
});

test("status: what differs is written, and keeps the time of what stands", async () => {
  const writer = writerOf();
  write(writer, put("a"), accepted, behind);
  await writer.settled();
  const later = writerOf({ nowMs: 1_000_000_060_000 });
  write(later, server.get(`${path}/a`) as KubeObject, accepted, served);
  await later.settled();
  assert.equal(conditionOf("a", "Programmed")["lastTransitionTime"], "2001-09-09T01:47:40.000Z");
  assert.equal(conditionOf("a", "Accepted")["lastTransitionTime"], "2001-09-09T01:46:40.000Z");
});

test("status: somebody else's change of it is mended", async () => {
  const writer = writerOf();
  write(writer, put("a"), accepted, served);
  await writer.settled();
  const known = server.get(`${path}/a`) as KubeObject;
  const object = server.set(`${path}/a`, { ...known, status: {} });
  write(writer, object, accepted, served);
  await writer.settled();
  assert.equal(conditionOf("a", "Programmed")["status"], "True");
});

test("status: so many at a time, and all of them", async () => {
  let active = 0;
  let activeMax = 0;
  const four = Promise.withResolvers<void>();
  server.intercept = async () => {
    active += 1;
    activeMax = Math.max(activeMax, active);
    if (active === 4) setTimeout(four.resolve, 20); // a fifth would come by then
    await four.promise;
    active -= 1;
    return undefined;
  };
  const writer = writerOf({ concurrencyMax: 4 });
  const names = Array.from({ length: 40 }, (_, number) => `r${number}`);
  for (const name of names) write(writer, put(name), accepted, served);
  await writer.settled();
  assert.equal(activeMax, 4);
  for (const name of names) assert.equal(conditionOf(name, "Programmed")["status"], "True");
});

test("status: of one route never two at a time, and the latest is the last", async () => {
  const writer = writerOf();
  const object = put("a");
  let active = 0;
  let activeMax = 0;
  server.intercept = async () => {
    active += 1;
    activeMax = Math.max(activeMax, active);
    await new Promise((resolve) => setTimeout(resolve, 10));
    active -= 1;
    return undefined;
  };
  write(writer, object, accepted, behind);
  write(writer, object, accepted, served);
  await writer.settled();
  assert.equal(activeMax, 1);
  assert.equal(writes().length, 2);
  assert.equal(conditionOf("a", "Programmed")["status"], "True");
});

test("status: of several that wait for one route only the last is written", async () => {
  const writer = writerOf({ concurrencyMax: 1 });
  const [a, b] = [put("a"), put("b")];
  write(writer, a, accepted, served);
  write(writer, b, accepted, behind);
  write(writer, b, accepted, served);
  await writer.settled();
  assert.equal(writes().length, 2);
  assert.equal(conditionOf("b", "Programmed")["status"], "True");
});

test("status: what was behind and is back before it was written is not written", async () => {
  const writer = writerOf({ concurrencyMax: 1 });
  write(writer, put("b"), accepted, served);
  await writer.settled();
  const b = server.get(`${path}/b`) as KubeObject;
  write(writer, put("a"), accepted, served);
  write(writer, b, accepted, behind);
  write(writer, b, accepted, served);
  await writer.settled();
  assert.equal(writes().length, 2);
  assert.equal(conditionOf("b", "Programmed")["status"], "True");
});

test("status: a route that is gone or another one is nobody's problem", async () => {
  const writer = writerOf();
  const [a, b] = [put("a"), put("b")];
  server.remove(`${path}/a`);
  server.remove(`${path}/b`);
  put("b");
  write(writer, a, accepted, served);
  write(writer, b, accepted, served);
  await writer.settled();
  assert.equal(server.get(`${path}/b`)?.["status"], undefined);
  assert.deepEqual(problems, []);
});

test("status: what could not be written is said, and written with the next ask", async () => {
  const writer = writerOf();
  const object = put("a");
  for (const fault of [failure(403, "Forbidden"), "cut"] as const) {
    server.intercept = () => fault;
    write(writer, object, accepted, served);
    await writer.settled();
  }
  assert.equal(problems.length, 2);
  assert.equal(writer.failures, 2);
  assert.match(problems[0] ?? "", /mail\/a.*403.*Forbidden/);
  server.intercept = () => undefined;
  write(writer, object, accepted, served);
  await writer.settled();
  assert.equal(conditionOf("a", "Programmed")["status"], "True");
});

test("status: what is known of routes that are gone is forgotten", async () => {
  const writer = writerOf();
  const object = put("a");
  write(writer, object, accepted, served);
  await writer.settled();
  write(writer, { ...object }, accepted, served);
  await writer.settled();
  assert.equal(writes().length, 1);
  writer.forget("mailroutes", []);
  write(writer, { ...object }, accepted, served);
  await writer.settled();
  assert.equal(writes().length, 2);
});

test("status: when stopped, what is under way is finished and nothing else begun", async () => {
  const writer = writerOf({ concurrencyMax: 1 });
  const objects = ["a", "b", "c"].map(put);
  for (const object of objects) write(writer, object, accepted, served);
  writer.stop();
  write(writer, put("d"), accepted, served);
  await writer.settled();
  assert.equal(writes().length, 1);
});

test("status: with nothing to write it is settled at once", async () => {
  await writerOf().settled();
});
