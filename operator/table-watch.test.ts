import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ApiServer } from "../kube/api-server.testkit.ts";
import { watchTable } from "./table-watch.ts";

const path = "/api/v1/namespaces/mail/configmaps";
const labels = { "mailroute.dev/table": "mailroute" };
const standing = ["mailroute-routes", "mailroute-routes-s1"];
const msMax = 10_000;

async function watched(context: TestContext) {
  const server = await ApiServer.start();
  const put = (name: string, of: object = labels): object =>
    server.set(`${path}/${name}`, { metadata: { labels: of }, data: { secret: "content" } });
  for (const name of standing) put(name);
  const told: string[] = [];
  const reflector = watchTable({
    api: server.api,
    path,
    name: "mailroute",
    standing: () => standing,
    lost: (names) => told.push(`lost ${names.join(" ")}`),
    manifestWritten: () => told.push("written"),
    state: () => {},
  });
  context.after(async () => {
    reflector.stop();
    await server.close();
  });
  await until(() => server.watches.size === 1);
  return { server, put, told };
}

async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!holds()) {
    assert.ok(performance.now() < endMs, "not in time");
    await sleep(2);
  }
}

test("table watch: tells of each deleted part of the table, and of nothing else that goes", async (context) => {
  const { server, put, told } = await watched(context);
  put("mailroute-routes-old");
  put("other-routes", { "mailroute.dev/table": "other" });
  for (const name of ["mailroute-routes-old", "other-routes", ...standing])
    server.remove(`${path}/${name}`);
  await until(() => told.length === 2);
  assert.deepEqual(told, ["lost mailroute-routes", "lost mailroute-routes-s1"]);
});

test("table watch: what was deleted while nothing was heard is found by the next list", async (context) => {
  const { server, told } = await watched(context);
  const [watch] = server.watches;
  server.intercept = ({ query }) => (query["watch"] === "true" ? "none" : undefined);
  watch?.cut();
  server.remove(`${path}/mailroute-routes-s1`);
  server.forgetHistory();
  server.intercept = () => undefined;
  await until(() => told.length === 1);
  assert.deepEqual(told, ["lost mailroute-routes-s1"]);
});

test("table watch: tells when the manifest is written, as for an approval, and never asks for contents", async (context) => {
  const { server, put, told } = await watched(context);
  put("mailroute-routes-s1");
  put("mailroute-routes");
  await until(() => told.length === 1);
  assert.deepEqual(told, ["written"]);
  assert.ok(server.requests.every(({ accept }) => accept.includes("as=PartialObjectMetadata")));
});
