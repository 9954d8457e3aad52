import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";
import { ApiServer, type Asked, failure } from "../kube/api-server.testkit.ts";
import { manifestOf } from "../kube/table-maps.ts";
import { compile } from "../routing/compile.ts";
import { routeIdOf } from "../routing/parse-route.ts";
import { emptyTable, keyCount, type RouteTable, tableEntries } from "../routing/table.ts";
import { decodeManifest, type Manifest } from "../routing/wire.ts";
import { Overtaken, Publisher } from "./publish.ts";

const path = "/api/v1/namespaces/mail/configmaps";
const manifestPath = `${path}/mailroute-routes`;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let server: ApiServer;
let problems: string[];

beforeEach(async () => {
  server = await ApiServer.start();
  problems = [];
});

afterEach(async () => {
  await server.close();
});

/** Restored, as a leader is that begins. */
async function leader(): Promise<Publisher> {
  const publisher = newPublisher();
  await publisher.restore();
  return publisher;
}

function newPublisher(): Publisher {
  const problem = (text: string) => problems.push(text);
  return new Publisher({ api: server.api, namespace: "mail", name: "mailroute", problem });
}

/** Of one route with these suffixes. */
function tableOf(suffixes: readonly string[], previous: RouteTable = emptyTable): RouteTable {
  const resource = {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailRoute",
    metadata: { name: "a", namespace: "mail", generation: 1 },
    spec: { suffixes, target: { discard: {} } },
  };
  return compile({
    routes: [{ id: routeIdOf("mail", "a"), resource }],
    grants: [],
    references: { secrets: new Map(), namespaces: new Map() },
    previous,
    now: 0,
    installation: { namespace: "mail", className: "default", delegation: "off" },
    sha256,
  }).table;
}

/** Of enough routes for several shards; `edited` of them have another port. */
function largeTable(edited: readonly number[], previous: RouteTable): RouteTable {
  const routes = Array.from({ length: 2000 }, (_, number) => {
    const name = `r${number}`;
    const port = edited.includes(number) ? 2525 : 25;
    const resource = {
      apiVersion: "mailroute.dev/v1alpha1",
      kind: "MailRoute",
      metadata: { name, namespace: "mail", generation: 1 },
      spec: { suffixes: [`${name}.test`], target: { hosts: [{ host: `mx.${name}.test`, port }] } },
    };
    return { id: routeIdOf("mail", name), resource };
  });
  return compile({
    routes,
    grants: [],
    references: { secrets: new Map(), namespaces: new Map() },
    previous,
    now: 0,
    installation: { namespace: "mail", className: "default", delegation: "off" },
    sha256,
  }).table;
}

function manifest(): Manifest {
  return decodeManifest(manifestOf(server.get(manifestPath) ?? {}).manifest);
}

function shards(): readonly string[] {
  return server.paths(path).filter((each) => each !== manifestPath);
}

function writes(): readonly string[] {
  const isWrite = ({ method }: Asked) => method !== "GET";
  return server.requests.filter(isWrite).map((asked) => {
    const name = asked.path === path ? asked.body.metadata?.["name"] : asked.path.split("/").pop();
    return `${asked.method} ${String(name).replace(/shard-.*/, "shard")}`;
  });
}

const keysOf = (table: RouteTable) => [...tableEntries(table)].map(({ key }) => key).sort();

test("publish: shards are there before the manifest, and another leader reads the same table", async () => {
  const first = await leader();
  const table = tableOf(["a.test", "b.test"]);
  assert.equal(await first.publish(table, 2), true);
  assert.deepEqual(writes(), ["POST mailroute-routes-shard", "POST mailroute-routes"]);
  assert.equal(first.digest, table.digest);
  const second = newPublisher();
  const restored = await second.restore();
  assert.equal(second.digest, table.digest);
  assert.deepEqual(keysOf(restored), keysOf(table));
  assert.equal(manifest().relays, 2);
});

test("publish: where nothing was ever published the table before is empty", async () => {
  const publisher = newPublisher();
  assert.equal(await publisher.restore(), emptyTable);
  assert.equal(publisher.digest, "");
});

test("publish: shards are immutable, labelled, and nobody's to prune", async () => {
  await (await leader()).publish(tableOf(["a.test"]), 1);
  const [name = ""] = shards();
  const shard = server.get(name);
  assert.equal(shard?.["immutable"], true);
  assert.deepEqual(shard.metadata?.["labels"], { "mailroute.dev/table": "mailroute" });
  assert.equal(shard.metadata?.["ownerReferences"], undefined);
  const path_ = name;
  const { status } = await server.api.request({ method: "PUT", path: path_, body: { data: {} } });
  assert.equal(status, 422);
});

test("publish: the same table again is written by nobody", async () => {
  const table = tableOf(["a.test"]);
  const first = await leader();
  await first.publish(table, 1);
  const count = writes().length;
  assert.equal(await first.publish(table, 1), false);
  const second = await leader();
  assert.equal(await second.publish(tableOf(["a.test"]), 1), false);
  assert.equal(writes().length, count);
});

test("publish: another number of relays rewrites the manifest alone, with the same parents", async () => {
  const publisher = await leader();
  const before = tableOf(["a.test"]);
  const table = tableOf(["a.test", "b.test"], before);
  await publisher.publish(before, 1);
  await publisher.publish(table, 1);
  const { parents } = manifest();
  const count = writes().length;
  assert.equal(await publisher.publish(table, 3), true);
  assert.deepEqual(writes().slice(count), ["PUT mailroute-routes"]);
  assert.deepEqual(manifest().parents, parents);
  assert.equal(manifest().relays, 3);
});

test("publish: one changed route rewrites one shard of many", async () => {
  const publisher = await leader();
  const table = largeTable([], emptyTable);
  assert.ok(table.shards.length > 4, `${table.shards.length} shards`);
  await publisher.publish(table, 1);
  const count = writes().length;
  const next = largeTable([7], table);
  await publisher.publish(next, 1);
  assert.deepEqual(writes().slice(count), ["POST mailroute-routes-shard", "PUT mailroute-routes"]);
  assert.equal(manifest().digest, next.digest);
  const restored = await newPublisher().restore();
  assert.equal(restored.digest, next.digest);
  assert.equal(keyCount(restored), 2000);
});

test("publish: who was overtaken cannot put an old table back", async () => {
  const paused = await leader();
  await paused.publish(tableOf(["a.test"]), 1);
  const other = await leader();
  const theirs = tableOf(["b.test"]);
  await other.publish(theirs, 1);
  await assert.rejects(paused.publish(tableOf(["c.test"]), 1), Overtaken);
  assert.equal(manifest().digest, theirs.digest);
});

test("publish: of two that publish a first table one is overtaken", async () => {
  const [one, two] = [await leader(), await leader()];
  await one.publish(tableOf(["a.test"]), 1);
  await assert.rejects(two.publish(tableOf(["b.test"]), 1), Overtaken);
});

test("publish: a shard that is there already, from a write cut short, is taken as it is", async () => {
  const [one, two] = [await leader(), await leader()];
  server.intercept = ({ method, body }) =>
    method === "POST" && body.metadata?.["name"] === "mailroute-routes" ? "cut" : undefined;
  const table = tableOf(["a.test"]);
  await assert.rejects(one.publish(table, 1));
  assert.equal(shards().length, 1);
  server.intercept = () => undefined;
  assert.equal(await two.publish(table, 1), true);
  assert.equal(manifest().digest, table.digest);
});

test("publish: a shard that cannot be written leaves the manifest as it is", async () => {
  const publisher = await leader();
  const before = tableOf(["a.test"]);
  await publisher.publish(before, 1);
  server.intercept = ({ method }) => (method === "POST" ? failure(403, "quota") : undefined);
  const next = tableOf(["b.test"], before);
  await assert.rejects(publisher.publish(next, 1), /shard-.* answered 403: quota/);
  assert.equal(manifest().digest, before.digest);
  assert.equal(publisher.digest, before.digest);
  server.intercept = () => undefined;
  assert.equal(await publisher.publish(next, 1), true);
});

test("publish: the shards of the last three tables stay, also for another leader", async () => {
  let publisher = await leader();
  const digests: string[] = [];
  for (const name of ["a", "b", "c", "d", "e"]) {
    const table = tableOf([`${name}.test`]);
    await publisher.publish(table, 1);
    digests.unshift(table.digest);
    publisher = await leader();
  }
  assert.equal(shards().length, 3);
  assert.deepEqual([manifest().digest, ...manifest().parents].slice(0, 3), digests.slice(0, 3));
});

test("publish: what an earlier process left over is removed with the next table, and nothing of others", async () => {
  const labels = { "mailroute.dev/table": "mailroute" };
  server.set(`${path}/mailroute-routes-shard-left`, { metadata: { labels } });
  server.set(`${path}/mailroute-routes-shard-alien`, { metadata: {} });
  server.set(`${path}/something`, { metadata: { labels } });
  await (await leader()).publish(tableOf(["a.test"]), 1);
  assert.deepEqual(
    ["mailroute-routes-shard-left", "mailroute-routes-shard-alien", "something"].map(
      (name) => server.get(`${path}/${name}`) !== undefined,
    ),
    [false, true, true],
  );
});

test("publish: a person's annotation is read, and does not overtake the one who wrote the rest", async () => {
  const publisher = await leader();
  await publisher.publish(tableOf(["a.test"]), 1);
  assert.equal(await publisher.approved(), undefined);
  const annotations = { "mailroute.dev/approve": "digest" };
  await server.api.request({
    method: "PATCH",
    path: manifestPath,
    contentType: "application/merge-patch+json",
    body: { metadata: { annotations } },
  });
  assert.equal(await publisher.approved(), "digest");
  assert.equal(await publisher.publish(tableOf(["b.test"]), 1), true);
});

test("publish: an annotation of somebody else's manifest makes it nobody's to replace", async () => {
  const paused = await leader();
  await paused.publish(tableOf(["a.test"]), 1);
  await (await leader()).publish(tableOf(["b.test"]), 1);
  await paused.approved();
  await assert.rejects(paused.publish(tableOf(["c.test"]), 1), Overtaken);
});

test("publish: a shard that somebody deleted is made again by the next leader, and costs the rest nothing", async () => {
  const table = largeTable([], emptyTable);
  await (await leader()).publish(table, 1);
  const [gone = ""] = shards();
  const count = shards().length;
  const before = server.get(gone);
  server.remove(gone);
  const next = newPublisher();
  const restored = await next.restore();
  assert.match(problems.join(), new RegExp(`1 of ${count} shards .* are gone or damaged`));
  assert.ok(keyCount(restored) > 1000 && keyCount(restored) < 2000, `${keyCount(restored)} keys`);
  const again = largeTable([], restored);
  assert.equal(again.digest, table.digest);
  assert.equal(await next.publish(again, 1), true);
  assert.deepEqual(server.get(gone)?.["binaryData"], before?.["binaryData"]);
  assert.equal(keyCount(await newPublisher().restore()), 2000);
  assert.equal(await next.publish(again, 1), false);
});

test("publish: a shard with another content is replaced, and other objects are left alone", async () => {
  const table = tableOf(["a.test"]);
  await (await leader()).publish(table, 1);
  const [name = ""] = shards();
  const before = server.get(name);
  for (const data of [{ "shard.json": "{}" }, { "shard.json": "<html>" }, {}]) {
    server.set(name, { ...before, data });
    const next = newPublisher();
    assert.equal(keyCount(await next.restore()), 0);
    assert.equal(await next.publish(tableOf(["a.test"]), 1), true);
    assert.deepEqual(server.get(name)?.["data"], before?.["data"]);
  }
  assert.equal(problems.length, 3);
});

test("publish: what somebody deletes of the table is put back as it was", async () => {
  const publisher = await leader();
  const table = tableOf(["a.test"]);
  await publisher.publish(table, 1);
  const before = manifest();
  assert.deepEqual(
    publisher.standing.map((name) => `${path}/${name}`),
    [manifestPath, ...shards()],
  );
  for (const name of publisher.standing) {
    server.remove(`${path}/${name}`);
    publisher.lost(name);
    assert.equal(publisher.isIncomplete, true);
  }
  assert.equal(await publisher.publish(table, 1), true);
  assert.equal(publisher.isIncomplete, false);
  assert.deepEqual(manifest(), before);
  assert.deepEqual(keysOf(await newPublisher().restore()), keysOf(table));
  assert.equal(await publisher.publish(table, 1), false);
});

test("publish: a manifest whose deletion is not known yet is made again with the next table", async () => {
  const publisher = await leader();
  await publisher.publish(tableOf(["a.test"]), 1);
  server.remove(manifestPath);
  await publisher.publish(tableOf(["a.test", "b.test"]), 1);
  assert.equal(manifest().digest, publisher.digest);
  assert.equal(manifest().parents.length, 1);
});
