import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { ApiServer } from "../kube/api-server.testkit.ts";
import type { Note } from "./conditions.ts";
import { Drainer } from "./drain.ts";
import { createOperatorLog } from "./log.ts";

const labels = { "app.kubernetes.io/instance": "mailroute" };
const core = "/api/v1/namespaces/mail";
const jobs = "/apis/batch/v1/namespaces/mail/jobs";
const jobPath = `${jobs}/mailroute-drain-1`;
const template = { metadata: { labels }, spec: { containers: [{ name: "relay", image: "a" }] } };

/** One relay is wanted, and there are the claims of two. */
async function world(context: TestContext) {
  const server = await ApiServer.start();
  context.after(() => server.close());
  for (const ordinal of [0, 1])
    server.set(`${core}/persistentvolumeclaims/spool-mailroute-relay-${ordinal}`, {
      metadata: { labels, namespace: "mail" },
    });
  server.set("/apis/apps/v1/namespaces/mail/statefulsets/mailroute-relay", {
    spec: { replicas: 1, template },
  });
  const told: Record<string, unknown>[] = [];
  const events: string[] = [];
  const counts: object[] = [];
  const clock = { nowMs: Date.parse("2026-01-01T00:00:00Z") };
  const drainer = new Drainer({
    api: server.api,
    namespace: "mail",
    name: "mailroute",
    log: createOperatorLog({
      write: (text) => told.push(JSON.parse(text) as Record<string, unknown>),
      now: () => clock.nowMs,
    }),
    event: ({ kind, metadata }, { reason }: Note) =>
      void events.push(`${kind}/${String(metadata?.["name"])} ${reason}`),
    count: (drains) => counts.push(drains),
    now: () => clock.nowMs,
  });
  /** As the Job controller writes it. */
  const fail = (): void => {
    const conditions = [
      { type: "Failed", status: "True", lastTransitionTime: new Date(clock.nowMs).toISOString() },
    ];
    server.set(jobPath, { ...server.get(jobPath), status: { conditions } });
  };
  return { server, drainer, told, events, counts, clock, fail };
}

test("drain: a Job that fails while its claim stays is made again, and told of when it fails on", async (context) => {
  const { server, drainer, told, events, counts, clock, fail } = await world(context);
  const uid = (): unknown => server.get(jobPath)?.metadata?.["uid"];
  await drainer.look();
  for (let failures = 1; failures <= 3; failures += 1) {
    const before = uid();
    assert.notEqual(before, undefined);
    fail();
    await drainer.look();
    assert.equal(uid(), before, "not at once");
    clock.nowMs += 15_000 * 2 ** failures;
    await drainer.look();
    assert.notEqual(uid(), before);
  }
  assert.deepEqual(drainer.troubles, []);
  await drainer.look();
  await drainer.look();
  const [line] = told.filter(({ event }) => event === "problem");
  assert.equal(
    line?.["text"],
    "spool-mailroute-relay-1 is not emptied: the Job mailroute-drain-1 has failed 3 times",
  );
  assert.deepEqual(drainer.troubles, [line?.["text"]]);
  assert.deepEqual(events, ["PersistentVolumeClaim/spool-mailroute-relay-1 DrainFailing"]);
  assert.deepEqual(counts.at(-1), { left: 1, failing: 1 });
});

test("drain: once the claim is gone nothing is told any more, and its Job goes", async (context) => {
  const { server, drainer, counts } = await world(context);
  await drainer.look();
  const annotations = { "mailroute.dev/drain-attempts": "7" };
  const metadata = { ...server.get(jobPath)?.metadata, annotations };
  server.set(jobPath, { ...server.get(jobPath), metadata });
  await drainer.look();
  assert.equal(drainer.troubles.length, 1);
  server.remove(`${core}/persistentvolumeclaims/spool-mailroute-relay-1`);
  await drainer.look();
  assert.deepEqual(drainer.troubles, []);
  assert.deepEqual(server.paths(jobs), []);
  assert.deepEqual(counts.at(-1), { left: 0, failing: 0 });
});
