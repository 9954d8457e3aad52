import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ApiServer, failure, type OpenWatch } from "./api-server.testkit.ts";
import {
  backOffMs,
  type Change,
  type Reflector,
  type ReflectorOptions,
  reflect,
  type WatchState,
} from "./reflector.ts";

const path = "/apis/mailroute.dev/v1alpha1/namespaces/mail/mailroutes";
const msMax = 5000;
const quick = { backOffMsMin: 1, backOffMsMax: 2 };

let server: ApiServer;
let changes: Change[];
let states: WatchState[];
let reflector: Reflector | undefined;

beforeEach(async () => {
  server = await ApiServer.start();
  changes = [];
  states = [];
});

afterEach(async () => {
  reflector?.stop();
  reflector = undefined;
  await server.close();
});

function start(more: Partial<ReflectorOptions> = {}): void {
  reflector = reflect({
    api: server.api,
    path,
    changed: (change) => changes.push(change),
    state: (state) => states.push(state),
    limits: quick,
    ...more,
  });
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!holds()) {
    assert.ok(performance.now() < endMs, `not in time: ${what}`);
    await sleep(2);
  }
}

function put(name: string, spec: object = {}): void {
  server.set(`${path}/${name}`, { kind: "MailRoute", apiVersion: "mailroute.dev/v1alpha1", spec });
}

/** "listed a b", "set c", "deleted a". */
function told(): readonly string[] {
  return changes.map((change) =>
    change.type === "listed"
      ? ["listed", ...change.objects.map(({ metadata }) => String(metadata?.["name"]))].join(" ")
      : `${change.type} ${String(change.object.metadata?.["name"])}`,
  );
}

const listings = () => server.requests.filter(({ query }) => query["watch"] === undefined);
const watchings = () => server.requests.filter(({ query }) => query["watch"] === "true");

async function openWatch(): Promise<OpenWatch> {
  await until(() => server.watches.size === 1, "a watch is open");
  return [...server.watches][0] as OpenWatch;
}

/** The next one after it. */
async function watchAfter(before: OpenWatch): Promise<OpenWatch> {
  await until(() => server.watches.size === 1 && !server.watches.has(before), "another watch");
  return [...server.watches][0] as OpenWatch;
}

test("reflector: lists page by page, and tells of the whole at once", async () => {
  for (const name of ["a", "b", "c", "d", "e"]) put(name);
  start({ limits: { ...quick, pageSize: 2 } });
  await openWatch();
  assert.deepEqual(told(), ["listed a b c d e"]);
  assert.deepEqual(
    listings().map(({ query }) => [query["limit"], query["continue"] !== undefined]),
    [
      ["2", false],
      ["2", true],
      ["2", true],
    ],
  );
  const [listed] = changes;
  assert.equal(listed?.type === "listed" && listed.objects[4]?.kind, "MailRoute");
  assert.equal(watchings()[0]?.query["resourceVersion"], server.version);
});

test("reflector: asks for fewer objects where a page of them is too large, and misses none", async () => {
  const names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
  for (const name of names) put(name, { text: "x".repeat(1500) });
  start({ limits: { ...quick, pageSize: 8, pageBytesMax: 4096 } });
  await openWatch();
  assert.deepEqual(told(), [`listed ${names.join(" ")}`]);
  assert.deepEqual(
    listings().map(({ query }) => query["limit"]),
    ["8", "2", "2", "2", "2", "2"],
  );
  assert.ok(states.every(({ ok }) => ok));
});

test("reflector: an object that is larger than a page may be is listed all the same", async () => {
  for (const name of ["a", "b", "c"]) put(name, { text: "x".repeat(5000) });
  start({ limits: { ...quick, pageSize: 2, pageBytesMax: 4096 } });
  await openWatch();
  assert.deepEqual(told(), ["listed a b c"]);
});

test("reflector: tells of what is made, changed and deleted after the list", async () => {
  put("a");
  start();
  await openWatch();
  put("b");
  put("a", { changed: true });
  server.remove(`${path}/b`);
  await until(() => changes.length === 4, "three changes");
  assert.deepEqual(told(), ["listed a", "set b", "set a", "deleted b"]);
});

test("reflector: asks for bookmarks, and for an end after one to two times the least", async () => {
  start({ random: () => 0.5, limits: { ...quick, watchMsMin: 60_000 } });
  const { query } = (await openWatch()).asked;
  assert.equal(query["allowWatchBookmarks"], "true");
  assert.equal(query["timeoutSeconds"], "90");
});

test("reflector: goes on after the end of a watch without a list, and misses nothing", async () => {
  start();
  const first = await openWatch();
  first.end();
  put("between");
  const second = await watchAfter(first);
  put("later");
  await until(() => changes.length === 3, "both are told");
  assert.deepEqual(told(), ["listed", "set between", "set later"]);
  assert.equal(listings().length, 1);
  second.end();
  await watchAfter(second);
  assert.equal(watchings()[2]?.query["resourceVersion"], server.version);
  assert.deepEqual(
    states.filter(({ ok }) => !ok),
    [],
  );
});

test("reflector: goes on from a bookmark, which is no change", async () => {
  start();
  const first = await openWatch();
  for (let count = 0; count < 5; count++) server.elsewhere();
  first.bookmark();
  first.end();
  const second = await watchAfter(first);
  assert.equal(second.asked.query["resourceVersion"], server.version);
  assert.deepEqual(told(), ["listed"]);
});

test("reflector: lists again where its version is too old, told by status", async () => {
  start();
  const first = await openWatch();
  server.intercept = ({ query }) => (query["watch"] === "true" ? "cut" : undefined);
  first.cut();
  await until(() => states.some(({ ok }) => !ok), "the watch is broken");
  put("missed");
  server.forgetHistory();
  server.intercept = () => undefined;
  await until(() => changes.length === 2, "another list");
  assert.deepEqual(told(), ["listed", "listed missed"]);
  await openWatch();
  assert.equal(states.at(-1)?.ok, true);
});

test("reflector: lists again where its version is too old, told by an event", async () => {
  start();
  const first = await openWatch();
  const { body } = failure(410, "Expired") as { body: object };
  first.write(`${JSON.stringify({ type: "ERROR", object: body })}\n`);
  await watchAfter(first);
  assert.deepEqual(told(), ["listed", "listed"]);
});

test("reflector: another error event is no reason for a list", async () => {
  start();
  const first = await openWatch();
  const { body } = failure(500, "InternalError") as { body: object };
  first.write(`${JSON.stringify({ type: "ERROR", object: body })}\n`);
  await watchAfter(first);
  assert.deepEqual(told(), ["listed"]);
  assert.equal(states.find(({ ok }) => !ok)?.error, "InternalError");
});

test("reflector: a page that is too old begins the list again, and half of one is never told", async () => {
  for (const name of ["a", "b", "c"]) put(name);
  let refused = 0;
  server.intercept = ({ query }) => {
    if (query["continue"] === undefined || refused > 0) return undefined;
    refused += 1;
    return failure(410, "Expired");
  };
  start({ limits: { ...quick, pageSize: 2 } });
  await openWatch();
  assert.deepEqual(told(), ["listed a b c"]);
  assert.equal(listings().length, 4);
});

test("reflector: takes silence for a dead connection, and goes on where it was", async () => {
  start({ limits: { ...quick, silenceMsMax: 50 } });
  const first = await openWatch();
  put("a");
  const second = await watchAfter(first);
  assert.equal(second.asked.query["resourceVersion"], server.version);
  assert.equal(listings().length, 1);
  assert.deepEqual(
    states.filter(({ ok }) => !ok),
    [],
  );
});

test("reflector: half a line is nothing; after the cut the whole comes once", async () => {
  start();
  const first = await openWatch();
  first.write('{"type":"ADDED","object":{"metadata":{"name":"a","resource');
  first.cut();
  put("a");
  await until(() => changes.length === 2, "it is told");
  const second = await watchAfter(first);
  assert.equal(second.asked.query["resourceVersion"], "100");
  assert.deepEqual(told(), ["listed", "set a"]);
  assert.equal(listings().length, 1);
});

test("reflector: a line that is no JSON costs a pause, not the watch", async () => {
  start();
  const first = await openWatch();
  first.write("<html>\n");
  put("a");
  await until(() => changes.length === 2, "it is told");
  assert.deepEqual(told(), ["listed", "set a"]);
  assert.ok(states.some(({ ok }) => !ok));
});

test("reflector: an API server that refuses, cuts or is mute is asked again until it answers", async () => {
  put("a");
  const faults = [failure(500, "Error"), failure(403, "Forbidden"), "cut", "none"] as const;
  let count = 0;
  server.intercept = () => faults[count++];
  start();
  await openWatch();
  assert.deepEqual(told(), ["listed a"]);
  assert.equal(states.filter(({ ok }) => !ok).length, faults.length);
  assert.deepEqual(states.at(-1), { ok: true });
});

test("reflector: after an outage a list from which no watch goes on is soon repeated", async () => {
  let asked = 0;
  // The API server is away for a while, and when it is back its watches begin later than its lists.
  server.intercept = ({ query }) => {
    asked += 1;
    if (asked <= 10) return failure(503, "ServiceUnavailable");
    return asked === 12 && query["watch"] !== undefined ? failure(410, "Expired") : undefined;
  };
  const minute = 60_000;
  // What the eleventh failure in a row would wait: 2 ** 10 ms times the random half.
  start({ limits: { backOffMsMin: 1, backOffMsMax: minute }, random: () => 0 });
  await openWatch();
  assert.equal(listings().length, 12);
  assert.deepEqual(told(), ["listed", "listed"]);
});

test("reflector: after an outage a version that is too old is soon followed by a list", async () => {
  let refusals = 0;
  let isGone = false;
  // A wait of many times the least, unless the failures before are forgotten.
  start({ limits: { backOffMsMin: 1, backOffMsMax: 60_000 }, random: () => (isGone ? 1000 : 0) });
  const watch = await openWatch();
  server.intercept = ({ query }) => {
    if (isGone || query["watch"] === undefined) return undefined;
    refusals += 1;
    isGone = refusals > 6;
    return isGone ? failure(410, "Expired") : failure(503, "ServiceUnavailable");
  };
  watch.cut();
  await watchAfter(watch);
  assert.deepEqual(told(), ["listed", "listed"]);
});

test("reflector: waits longer after each failure, up to a bound, half of it at random", () => {
  const limits = { backOffMsMin: 100, backOffMsMax: 1000 };
  const waits = (random: number) =>
    [1, 2, 3, 4, 5, 1000].map((failures) => backOffMs(failures, limits, () => random));
  assert.deepEqual(waits(0), [50, 100, 200, 400, 500, 500]);
  assert.deepEqual(waits(1), [100, 200, 400, 800, 1000, 1000]);
  assert.deepEqual(waits(0.5).slice(0, 2), [75, 150]);
});

test("reflector: after a watch that brought something the first wait is due again", async () => {
  // With the least and the most far apart, only a count that begins anew comes back in time.
  start({ random: () => 1, limits: { backOffMsMin: 1, backOffMsMax: 1_000_000 } });
  let watch = await openWatch();
  for (let count = 0; count < 25; count++) {
    watch.bookmark();
    await sleep(5);
    watch.cut();
    watch = await watchAfter(watch);
  }
  assert.equal(listings().length, 1);
});

test("reflector: of metadata-only kinds it neither asks for nor gets the rest", async () => {
  put("a", { secret: "value" });
  start({ metadataOnly: true });
  await openWatch();
  put("b", { secret: "value" });
  await until(() => changes.length === 2, "both are told");
  assert.doesNotMatch(JSON.stringify(changes), /value/);
  assert.match(listings()[0]?.accept ?? "", /as=PartialObjectMetadataList/);
  assert.match(watchings()[0]?.accept ?? "", /as=PartialObjectMetadata;/);
});

test("reflector: a field selector goes with the list and with the watch", async () => {
  put("a");
  put("b");
  start({ query: { fieldSelector: "metadata.name=a" } });
  await openWatch();
  put("b");
  put("a");
  await until(() => changes.length === 2, "it is told");
  assert.deepEqual(told(), ["listed a", "set a"]);
});

test("reflector: when stopped it asks nothing more", async () => {
  start();
  await openWatch();
  reflector?.stop();
  await until(() => server.watches.size === 0, "the watch is closed");
  const asked = server.requests.length;
  await sleep(50);
  assert.equal(server.requests.length, asked);
});
