import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ApiServer } from "../../kube/api-server.testkit.ts";
import { credentialShardOf } from "../../kube/credential-shards.ts";
import { shardData } from "../../kube/table-maps.ts";
import { compile } from "../../routing/compile.ts";
import { routeIdOf } from "../../routing/parse-route.ts";
import type { SecretFacts } from "../../routing/references.ts";
import { encode } from "../../routing/wire.ts";
import { watchConfigMaps } from "./config-maps.ts";
import { tableCopy } from "./copy.ts";
import { CredentialStore } from "./credentials.ts";
import { TableHolder } from "./holder.ts";
import type { TableSource } from "./source.ts";

const path = "/api/v1/namespaces/mail/configmaps";
const manifestPath = `${path}/mailroute-routes`;
const msMax = 10_000;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let server: ApiServer;
let directory: string;
let tables: TableHolder;
let credentials: CredentialStore;
let activated: string[];
/** The last list that was told. */
let problems: readonly string[];
let sources: TableSource[];

beforeEach(async () => {
  server = await ApiServer.start();
  directory = mkdtempSync(join(tmpdir(), "mailroute-config-maps-"));
  tables = new TableHolder();
  credentials = new CredentialStore();
  activated = [];
  problems = [];
  sources = [];
});

afterEach(async () => {
  for (const source of sources) await source.stop();
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

function start(more: { readonly patienceMs?: number } = {}): TableSource {
  const source = watchConfigMaps({
    api: server.api,
    namespace: "mail",
    name: "mailroute",
    copy: tableCopy(directory),
    tables,
    credentials,
    events: {
      activated: ({ digest }) => activated.push(digest),
      problems(list) {
        problems = list.map(({ where, text }) => `${where}: ${text}`);
      },
      failed: (error) => assert.fail(String(error)),
    },
    now: Date.now,
    ...more,
  });
  sources.push(source);
  return source;
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!holds()) {
    assert.ok(performance.now() < endMs, `not in time: ${what}; ${problems.join("; ")}`);
    await sleep(5);
  }
}

/** What an operator writes for one route with these suffixes. */
function wire(suffixes: readonly string[], spec: object = { target: { discard: {} } }) {
  const resource = {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailRoute",
    metadata: { name: "a", namespace: "mail", generation: 1 },
    spec: { suffixes, ...spec },
  };
  const lent: SecretFacts = {
    version: "v1",
    keys: ["username", "password"],
    hosts: ["mx.test:25"],
  };
  const { table } = compile({
    routes: [{ id: routeIdOf("mail", "a"), resource }],
    grants: [],
    references: { secrets: new Map([["mail/login", lent]]), namespaces: new Map() },
    previous: undefined,
    now: 0,
    installation: { namespace: "mail", className: "default", delegation: "off" },
    sha256,
  });
  const { manifest, shards } = encode(table, { sha256, relays: 1 });
  const [[name = "", bytes = new Uint8Array()] = []] = shards;
  return { manifest: JSON.stringify(manifest), digest: manifest.digest, name, bytes };
}

type Wire = ReturnType<typeof wire>;

function publishShard({ name, bytes }: Wire): void {
  server.set(`${path}/mailroute-routes-${name}`, { immutable: true, ...shardData(bytes) });
}

function publishManifest({ manifest }: Wire): void {
  server.set(manifestPath, { data: { "manifest.json": manifest, "history.json": "[]" } });
}

function publish(table: Wire): void {
  publishShard(table);
  publishManifest(table);
}

const digestNow = () => tables.current?.digest;
const shardReads = () => server.requests.filter((asked) => asked.path.includes("-routes-shard-"));

test("config maps: without a manifest there is no table, and as soon as there is one it is taken", async () => {
  const source = start();
  await until(() => problems.some((each) => /manifest is not there/.test(each)), "it is said");
  assert.equal(digestNow(), undefined);
  const first = wire(["a.test"]);
  publish(first);
  await source.first;
  assert.equal(digestNow(), first.digest);
  assert.equal(tables.current?.stale, false);
  await until(() => problems.length === 0, "all is well");
});

test("config maps: each change is taken, and a shard that is known is not read again", async () => {
  const first = wire(["a.test"]);
  publish(first);
  await start().first;
  const second = wire(["a.test", "b.test"]);
  publish(second);
  await until(() => digestNow() === second.digest, "the second table");
  assert.equal(shardReads().length, 2);
  // Another number of relays: the same shards.
  const resized = { ...second, manifest: second.manifest.replace('"relays":1', '"relays":3') };
  publishManifest(resized);
  await until(() => tables.current?.relays === 3, "the number of relays");
  assert.equal(shardReads().length, 2);
  // An annotation changes nothing.
  const before = tables.current;
  const known = server.get(manifestPath) ?? {};
  server.set(manifestPath, { ...known, metadata: { annotations: { a: "b" } } });
  await sleep(50);
  assert.equal(tables.current, before);
  assert.deepEqual(activated, [first.digest, second.digest, second.digest]);
});

test("config maps: a shard that is missing or not what the manifest says leaves the table in force", async () => {
  const first = wire(["a.test"]);
  publish(first);
  await start().first;
  const second = wire(["b.test"]);
  publishManifest(second);
  await until(() => problems.some((each) => /answered 404/.test(each)), "it is said");
  assert.equal(digestNow(), first.digest);
  publishShard({ ...second, bytes: first.bytes });
  await until(() => problems.some((each) => /does not have the content/.test(each)), "it is said");
  assert.equal(digestNow(), first.digest);
  publishShard(second);
  await until(() => digestNow() === second.digest, "it is taken once it is there");
  await until(() => problems.length === 0, "all is well");
});

test("config maps: a deleted manifest is no reason to serve nothing", async () => {
  const first = wire(["a.test"]);
  publish(first);
  await start().first;
  server.remove(manifestPath);
  await until(() => problems.some((each) => /manifest is not there/.test(each)), "it is said");
  assert.equal(digestNow(), first.digest);
  publishManifest(first);
  await until(() => problems.length === 0, "all is well");
});

test("config maps: without the API server the kept table is served as old, until it answers", async () => {
  const first = wire(["a.test"]);
  publish(first);
  await start().first;
  await until(() => readdirSync(directory).includes("table.json"), "it is kept");
  await sources.pop()?.stop();
  tables = new TableHolder();
  server.intercept = () => "cut";
  const source = start({ patienceMs: 50 });
  await source.first;
  assert.equal(digestNow(), first.digest);
  assert.equal(tables.current?.stale, true);
  server.intercept = () => undefined;
  await until(() => tables.current?.stale === false, "it is confirmed");
  assert.equal(digestNow(), first.digest);
});

test("config maps: with neither API server nor copy it waits", async () => {
  server.intercept = () => "cut";
  const source = start({ patienceMs: 20 });
  await until(() => problems.some((each) => /watching mailroute-routes/.test(each)), "it is said");
  await sleep(50);
  assert.equal(digestNow(), undefined);
  const first = wire(["a.test"]);
  publish(first);
  server.intercept = () => undefined;
  await source.first;
  assert.equal(digestNow(), first.digest);
});

test("config maps: a login that a route names is there when its table counts, or is waited for", async () => {
  const spec = {
    target: { hosts: [{ host: "mx.test", port: 25 }] },
    tls: { mode: "Verified" },
    auth: { secretRef: { name: "login" } },
  };
  const ref = { secret: "mail/login", version: "v1" };
  const secretPath = `/api/v1/namespaces/mail/secrets/${credentialShardOf("mailroute", ref.secret)}`;
  const entry = JSON.stringify({ ...ref, values: { username: "u", password: "p" } });
  const data = { v1: Buffer.from(entry).toString("base64") };
  const table = wire(["a.test"], spec);
  publish(table);
  await start().first;
  assert.equal(digestNow(), table.digest);
  assert.equal(credentials.get(ref), undefined);
  assert.match(
    problems.join(),
    /credentials: mail\/login: .* mail of the routes that need it waits/,
  );
  server.set(secretPath, { data });
  await until(() => credentials.get(ref) !== undefined, "it is lent");
  assert.deepEqual(credentials.get(ref), { username: "u", password: "p" });
  await until(() => problems.length === 0, "all is well");
  // A relay that starts now has it with its first table.
  await sources.pop()?.stop();
  [tables, credentials] = [new TableHolder(), new CredentialStore()];
  await start().first;
  assert.deepEqual(credentials.get(ref), { username: "u", password: "p" });
});
