import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ApiServer, failure } from "../kube/api-server.testkit.ts";
import { holdLease, type Lease, type LeaseTimes, microTime } from "./lease.ts";

const path = "/apis/coordination.k8s.io/v1/namespaces/mail/leases/mailroute-operator";
const msMax = 10_000;
const times: LeaseTimes = { durationMs: 2000, deadlineMs: 600, retryMs: 20 };

let server: ApiServer;
let leases: Lease[];
let told: string[];

beforeEach(async () => {
  server = await ApiServer.start();
  leases = [];
  told = [];
});

afterEach(async () => {
  for (const lease of leases) await lease.release();
  await server.close();
});

function hold(identity: string, more: Partial<LeaseTimes> = {}): Lease {
  const lease = holdLease({
    api: server.api,
    namespace: "mail",
    name: "mailroute-operator",
    identity,
    leading: () => told.push(`${identity} leads`),
    lost: (why) => told.push(`${identity} lost: ${why}`),
    times: { ...times, ...more },
  });
  leases.push(lease);
  return lease;
}

function spec(): Readonly<Record<string, unknown>> {
  return (server.get(path)?.["spec"] ?? {}) as Record<string, unknown>;
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!holds()) {
    assert.ok(performance.now() < endMs, `not in time: ${what}`);
    await sleep(2);
  }
}

/** By somebody whose process we are not: `duration` in seconds, as the API has it. */
function heldBy(holder: string, duration: number): void {
  const leaseDurationSeconds = duration;
  server.set(path, {
    kind: "Lease",
    spec: { holderIdentity: holder, leaseDurationSeconds, leaseTransitions: 4 },
  });
}

test("lease: is made where there is none, and renewed", async () => {
  const lease = hold("a");
  await until(() => lease.isLeader, "a leads");
  const first = spec();
  assert.equal(first["holderIdentity"], "a");
  assert.equal(first["leaseDurationSeconds"], 2);
  assert.match(String(first["renewTime"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  await until(() => spec()["renewTime"] !== first["renewTime"], "it is renewed");
  assert.equal(spec()["acquireTime"], first["acquireTime"]);
  assert.equal(spec()["leaseTransitions"], 1);
  assert.deepEqual(told, ["a leads"]);
});

test("lease: who holds it renews it with one write and reads nothing", async () => {
  const lease = hold("a");
  await until(() => lease.isLeader, "a leads");
  const since = server.requests.length;
  await until(() => server.requests.length >= since + 4, "it is renewed");
  assert.deepEqual(
    new Set(server.requests.slice(since).map(({ method }) => method)),
    new Set(["PUT"]),
  );
  assert.deepEqual(told, ["a leads"]);
});

test("lease: a note that somebody makes on it, or its deletion, costs the holder nothing", async () => {
  const lease = hold("a");
  await until(() => lease.isLeader, "a leads");
  server.set(path, { kind: "Lease", metadata: { labels: { seen: "yes" } }, spec: spec() });
  const noted = server.version;
  await until(() => Number(server.get(path)?.metadata?.resourceVersion) > Number(noted), "renewed");
  server.remove(path);
  await until(() => spec()["holderIdentity"] === "a", "it is made again");
  assert.equal(lease.isLeader, true);
  assert.deepEqual(told, ["a leads"]);
});

test("lease: of two only one leads", async () => {
  const a = hold("a");
  await until(() => a.isLeader, "a leads");
  const b = hold("b");
  await sleep(times.durationMs * 1.25);
  assert.equal(b.isLeader, false);
  assert.deepEqual(told, ["a leads"]);
});

test("lease: one that is not renewed for its duration is taken, whatever its times say", async () => {
  heldBy("gone", 2);
  const lease = hold("a");
  await until(() => server.requests.length > 3, "it has been looked at");
  assert.equal(lease.isLeader, false);
  await until(() => lease.isLeader, "a leads");
  assert.equal(spec()["leaseTransitions"], 5);
});

test("lease: each change of it begins the wait again", async () => {
  heldBy("alive", 2);
  const lease = hold("a");
  for (let count = 0; count < 8; count++) {
    await sleep(300);
    heldBy("alive", 2);
  }
  assert.equal(lease.isLeader, false);
});

test("lease: our own, from a process before, is taken at once", async () => {
  heldBy("a", 1_000_000);
  const lease = hold("a");
  await until(() => lease.isLeader, "a leads");
  assert.equal(spec()["leaseTransitions"], 4);
});

test("lease: one that was given up is taken at once", async () => {
  heldBy("", 1_000_000);
  const lease = hold("a");
  await until(() => lease.isLeader, "a leads");
});

test("lease: released, it names nobody, and is not renewed", async () => {
  const lease = hold("a");
  await until(() => lease.isLeader, "a leads");
  await lease.release();
  assert.equal(lease.isLeader, false);
  assert.equal(spec()["holderIdentity"], "");
  const version = server.version;
  await sleep(100);
  assert.equal(server.version, version);
  assert.deepEqual(told, ["a leads"]);
});

test("lease: who gives up what another has taken meanwhile leaves it alone", async () => {
  const lease = hold("a", { retryMs: 1_000_000 });
  await until(() => lease.isLeader, "a leads");
  heldBy("b", 2);
  await lease.release();
  assert.equal(spec()["holderIdentity"], "b");
});

test("lease: who finds another in it has lost it, and says so once", async () => {
  const lease = hold("a");
  await until(() => lease.isLeader, "a leads");
  heldBy("b", 1_000_000);
  await until(() => told.length === 2, "it is lost");
  assert.equal(lease.isLeader, false);
  await sleep(100);
  assert.deepEqual(told, ["a leads", "a lost: another holds the lease"]);
});

test("lease: of two that take it at the same time one is refused and waits", async () => {
  heldBy("", 1);
  let reads = 0;
  const both = Promise.withResolvers<void>();
  server.intercept = async ({ method }) => {
    if (method !== "GET" || reads >= 2) return undefined;
    reads += 1;
    if (reads === 2) both.resolve();
    await both.promise; // neither writes before both have read
    return undefined;
  };
  const [a, b] = [hold("a"), hold("b")];
  await until(() => a.isLeader || b.isLeader, "one leads");
  await sleep(100);
  assert.notEqual(a.isLeader, b.isLeader);
  assert.equal(told.length, 1);
});

test("lease: without the API server a leader stops to be one by its own clock, and says why", async () => {
  const lease = hold("a");
  await until(() => lease.isLeader, "a leads");
  server.intercept = () => "cut";
  await until(() => told.length === 2, "it is lost");
  assert.equal(lease.isLeader, false);
  assert.match(told[1] ?? "", /^a lost: /);
});

test("lease: an error now and then is not yet a loss", async () => {
  const lease = hold("a", { deadlineMs: 60_000 });
  await until(() => lease.isLeader, "a leads");
  let refused = 0;
  server.intercept = () => (refused++ < 5 ? failure(500, "InternalError") : undefined);
  await until(() => refused > 6, "it answers again");
  assert.equal(lease.isLeader, true);
  assert.deepEqual(told, ["a leads"]);
});

test("lease: Kubernetes' MicroTime has six digits", () => {
  assert.equal(microTime(new Date(0)), "1970-01-01T00:00:00.000000Z");
});
