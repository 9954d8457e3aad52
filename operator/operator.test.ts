/** A whole operator before a server that behaves as the API server does, with one relay that is played. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ApiServer, type Asked } from "../kube/api-server.testkit.ts";
import { manifestOf } from "../kube/table-maps.ts";
import { type Operator, startOperator } from "./operator.ts";
import { parseSettings } from "./settings.ts";

const routes = "/apis/mailroute.dev/v1alpha1/namespaces/mail/mailroutes";
const maps = "/api/v1/namespaces/mail/configmaps";
const manifestPath = `${maps}/mailroute-routes`;
const msMax = 20_000;
/** How long the relay takes to activate a table. */
const activateMs = 100;

type World = {
  readonly server: ApiServer;
  readonly operator: Operator;
  /** What it has logged. */
  readonly log: readonly Readonly<Record<string, unknown>>[];
  /** Stops it, and has another begin where it ended. */
  restart(): Promise<void>;
  /** A MailRoute of these domains. */
  apply(name: string, generation: number, ...domains: string[]): void;
  /** "True Programmed" of that generation, or undefined. */
  programmed(name: string, generation: number): string | undefined;
};

async function world(context: TestContext): Promise<World> {
  const server = await ApiServer.start();
  const port = await relayOf(server, context);
  const parsed = parseSettings({
    name: "mailroute",
    namespace: "mail",
    identity: "operator-0",
    watchNamespaces: ["mail"],
    relaySelector: "app=relay",
    relayAdminPort: port,
    adminHost: "127.0.0.1",
    adminPort: 0,
  });
  assert.ok(parsed.ok);
  const log: Record<string, unknown>[] = [];
  const start = async (): Promise<Operator> =>
    await startOperator({
      settings: parsed.settings,
      connect: () => ({ ...server.api, close: async () => {} }),
      version: "test",
      write: (text) => void log.push(JSON.parse(text) as Record<string, unknown>),
    });
  let operator = await start();
  context.after(async () => {
    await operator.stop();
    await server.close();
  });
  return {
    server,
    operator,
    log,
    async restart() {
      await operator.stop();
      operator = await start();
    },
    apply(name, generation, ...domains) {
      const standing = server.get(`${routes}/${name}`) ?? {};
      server.set(`${routes}/${name}`, {
        ...standing,
        apiVersion: "mailroute.dev/v1alpha1",
        kind: "MailRoute",
        metadata: { namespace: "mail", generation },
        spec: { domains, target: { discard: {} } },
      });
    },
    programmed(name, generation) {
      const { observedGeneration, conditions = [] } = (server.get(`${routes}/${name}`)?.[
        "status"
      ] ?? {}) as { observedGeneration?: number; conditions?: Record<string, unknown>[] };
      const found = conditions.find(({ type }) => type === "Programmed");
      if (found === undefined || observedGeneration !== generation) return undefined;
      return `${String(found["status"])} ${String(found["reason"])}`;
    },
  };
}

/** Its admin port; it serves each manifest a moment after that was written. */
async function relayOf(server: ApiServer, context: TestContext): Promise<number> {
  const written: { readonly digest: string; readonly atMs: number }[] = [];
  server.intercept = ({ method, path, body }) => {
    const isManifest = body.metadata?.["name"] === "mailroute-routes" && path.startsWith(maps);
    if (isManifest && method !== "GET") {
      const { digest } = JSON.parse(manifestOf(body).manifest) as { digest: string };
      written.push({ digest, atMs: performance.now() });
    }
    return undefined;
  };
  const http = createServer((_, response) => {
    const nowMs = performance.now();
    const served = written.findLast(({ atMs }) => atMs + activateMs <= nowMs);
    response.end(JSON.stringify({ digest: served?.digest ?? "", failing: [] }));
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  context.after(() => {
    http.close();
    http.closeAllConnections();
  });
  server.set("/api/v1/namespaces/mail/pods/relay-0", {
    metadata: { namespace: "mail", labels: { app: "relay" } },
    status: { podIP: "127.0.0.1", conditions: [{ type: "Ready", status: "True" }] },
  });
  return (http.address() as AddressInfo).port;
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!holds()) {
    assert.ok(performance.now() < endMs, `not in time: ${what}`);
    await sleep(5);
  }
}

const isStatus = ({ method, path }: Asked): boolean =>
  method === "PATCH" && path.endsWith("/status");

test("operator: relays are asked once they had time to take the table, so a change is one status", async (context) => {
  const { server, apply, programmed } = await world(context);
  apply("a", 1, "a.example");
  await until(() => programmed("a", 1) === "True Programmed", "the first is programmed");
  for (const generation of [2, 3, 4]) {
    const since = server.requests.length;
    apply("a", generation, "a.example", `a${generation}.example`);
    await until(() => programmed("a", generation) === "True Programmed", "it is programmed");
    const statuses = server.requests.slice(since).filter(isStatus);
    assert.equal(statuses.length, 1, JSON.stringify(statuses.map(({ body }) => body["status"])));
  }
});

test("operator: what somebody deletes of the table is put back at once", async (context) => {
  const { server, apply, programmed } = await world(context);
  apply("a", 1, "a.example");
  await until(() => programmed("a", 1) === "True Programmed", "it is programmed");
  const before = server.paths(maps);
  const data = server.get(manifestPath)?.["data"];
  for (const path of before) {
    server.remove(path);
    await until(() => server.get(path) !== undefined, `${path} is there again`);
  }
  assert.deepEqual(server.paths(maps), before);
  assert.deepEqual(server.get(manifestPath)?.["data"], data);
});

test("operator: a pass that failed, and another leader, go on holding back what was held", async (context) => {
  const { server, apply, programmed, restart } = await world(context);
  for (let each = 0; each < 40; each += 1) apply(`r${each}`, 1, `d${each}.example`);
  await until(() => programmed("r39", 1) === "True Programmed", "all are programmed");
  const digest = () =>
    (JSON.parse(manifestOf(server.get(manifestPath) ?? {}).manifest) as { digest: string }).digest;
  const before = digest();
  for (let each = 0; each < 20; each += 1) server.remove(`${routes}/r${each}`);
  const isMarked = () =>
    JSON.stringify(server.get(manifestPath)?.metadata ?? {}).includes("mailroute.dev/holding");
  await until(isMarked, "it is held back");
  // Eleven are still missing: of a table that nobody held back, that is no loss to speak of.
  for (let each = 0; each < 9; each += 1) apply(`r${each}`, 1, `d${each}.example`);
  await restart();
  await sleep(1500);
  assert.equal(digest(), before);
  for (let each = 9; each < 20; each += 1) apply(`r${each}`, 1, `d${each}.example`);
  await until(() => !isMarked(), "all are back, and it is let go");
  assert.equal(digest(), before);
});

test("operator: while a table is held back the one that stands is put back", async (context) => {
  const { server, apply, programmed } = await world(context);
  apply("a", 1, "a.example");
  await until(() => programmed("a", 1) === "True Programmed", "it is programmed");
  const data = server.get(manifestPath)?.["data"];
  server.remove(`${routes}/a`);
  const looks = () =>
    server.requests.filter(({ method, path }) => method === "GET" && path === manifestPath);
  const since = looks().length;
  await until(() => looks().length > since, "it is held back, and an approval is looked for");
  server.remove(manifestPath);
  await until(() => server.get(manifestPath) !== undefined, "the manifest is there again");
  assert.deepEqual(server.get(manifestPath)?.["data"], data);
});

test("operator: an approval counts while others edit on and on, and covers no loss but those shown", async (context) => {
  const { server, log, apply, programmed } = await world(context);
  for (let each = 0; each < 40; each += 1) apply(`r${each}`, 1, `d${each}.example`);
  await until(() => programmed("r39", 1) === "True Programmed", "all are programmed");
  const digest = () =>
    (JSON.parse(manifestOf(server.get(manifestPath) ?? {}).manifest) as { digest: string }).digest;
  const before = digest();
  const heldBack = () => log.filter(({ event }) => event === "held-back");
  const approve = async (loss: unknown): Promise<void> => {
    await server.api.request({
      method: "PATCH",
      path: manifestPath,
      contentType: "application/merge-patch+json",
      body: { metadata: { annotations: { "mailroute.dev/approve": loss } } },
    });
  };
  for (let each = 0; each < 20; each += 1) server.remove(`${routes}/r${each}`);
  await until(() => heldBack().length > 0, "it is held back");
  await until(() => heldBack().at(-1)?.["losses"] === 20, "all of the loss is shown");
  const shown = heldBack().at(-1);
  assert.match(String(shown?.["some"]), /^domain:d\d+\.example; domain:/);
  let edits = 0;
  const editing = setInterval(() => {
    edits += 1;
    apply("busy", edits, `busy${edits}.example`);
  }, 20);
  context.after(() => clearInterval(editing));
  server.remove(`${routes}/r20`);
  await until(() => heldBack().at(-1)?.["losses"] === 21, "more is lost");
  const passes = () =>
    server.requests.filter(({ method, path }) => method === "GET" && path === manifestPath).length;
  await approve(shown?.["digest"]);
  const since = passes();
  await until(() => passes() > since + 5, "it was looked at, and edited, again and again");
  assert.equal(digest(), before, "the twenty-first was not approved");
  const told = heldBack().length;
  await approve(heldBack().at(-1)?.["digest"]);
  await until(() => log.some(({ event }) => event === "released"), "the approved loss counts");
  await until(() => digest() !== before, "it is published");
  assert.equal(heldBack().length, told, "edits are no news of the loss");
  const annotations = server.get(manifestPath)?.metadata?.["annotations"];
  assert.equal(annotations, undefined, "an approval counts once");
});
