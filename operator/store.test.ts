import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "../kube/api.ts";
import { idOf, kinds, Store } from "./store.ts";

function route(name: string, more: Readonly<Record<string, unknown>> = {}): KubeObject {
  const metadata = {
    namespace: "mail",
    name,
    uid: `uid-${name}`,
    generation: 1,
    resourceVersion: "1",
  };
  return {
    metadata: { ...metadata, ...more },
    spec: {},
    status: { targets: String(more["resourceVersion"]) },
  };
}

const routes = { kind: "MailRoute" } as const;

function listed(...objects: KubeObject[]): Store {
  const store = new Store([routes]);
  store.apply(routes, { type: "listed", objects });
  return store;
}

test("store: is complete once every watch has listed, be it nothing", () => {
  const scopes = kinds.map((kind) => ({ kind }));
  const store = new Store(scopes);
  for (const scope of scopes) {
    assert.equal(store.isComplete, false, `before ${scope.kind}`);
    assert.equal(store.apply(scope, { type: "listed", objects: [] }), true);
  }
  assert.equal(store.isComplete, true);
});

test("store: of a kind watched in several namespaces each must have listed", () => {
  const [a, b] = [
    { kind: "MailRoute", namespace: "a" },
    { kind: "MailRoute", namespace: "b" },
  ] as const;
  const store = new Store([a, b]);
  store.apply(a, { type: "listed", objects: [route("r", { namespace: "a" })] });
  assert.equal(store.isComplete, false);
  store.apply(b, { type: "listed", objects: [route("r", { namespace: "b" })] });
  assert.equal(store.isComplete, true);
  store.apply(a, { type: "listed", objects: [] });
  assert.deepEqual([...store.all("MailRoute").keys()], ["b/r"]);
});

test("store: a change before the list makes nothing complete", () => {
  const store = new Store([routes]);
  store.apply(routes, { type: "set", object: route("a") });
  assert.equal(store.isComplete, false);
});

test("store: names objects by namespace and name, or by name", () => {
  assert.equal(idOf(route("a")), "mail/a");
  assert.equal(idOf({ metadata: { name: "mail" } }), "mail");
});

test("store: a list replaces everything that was there", () => {
  const store = listed(route("a"), route("b"));
  store.apply(routes, { type: "listed", objects: [route("c")] });
  assert.deepEqual([...store.all("MailRoute").keys()], ["mail/c"]);
});

test("store: what is set is there, what is deleted is not", () => {
  const store = listed(route("a"));
  assert.equal(store.apply(routes, { type: "set", object: route("b") }), true);
  assert.equal(store.apply(routes, { type: "deleted", object: route("a") }), true);
  assert.deepEqual([...store.all("MailRoute").keys()], ["mail/b"]);
  assert.equal(store.apply(routes, { type: "deleted", object: route("a") }), false);
});

test("store: a list that brings nothing new matters to nobody, and its objects stay the same ones", () => {
  const store = listed(route("a"), route("b"));
  const before = [...store.all("MailRoute").values()];
  assert.equal(store.apply(routes, { type: "listed", objects: [route("a"), route("b")] }), false);
  for (const [at, object] of [...store.all("MailRoute").values()].entries())
    assert.equal(object, before[at]);
  const changed = route("b", { resourceVersion: "2", generation: 2 });
  assert.equal(store.apply(routes, { type: "listed", objects: [route("a"), changed] }), true);
  assert.equal(store.apply(routes, { type: "listed", objects: [changed] }), true);
});

test("store: a spec is the same object as long as it is the same generation of the same resource", () => {
  const store = listed(route("a"));
  const specNow = () => store.all("MailRoute").get("mail/a")?.["spec"];
  const first = specNow();
  store.apply(routes, { type: "set", object: route("a", { resourceVersion: "2" }) });
  assert.equal(specNow(), first);
  store.apply(routes, { type: "set", object: route("a", { resourceVersion: "3", generation: 2 }) });
  assert.notEqual(specNow(), first);
  const second = specNow();
  const again = { resourceVersion: "4", generation: 2, uid: "another" };
  store.apply(routes, { type: "set", object: route("a", again) });
  assert.notEqual(specNow(), second);
});

test("store: every change is another revision, what is seen again is none", () => {
  const store = listed(route("a"));
  const seen = [store.revision];
  store.apply(routes, { type: "set", object: route("a", { resourceVersion: "2" }) });
  seen.push(store.revision);
  store.apply(routes, { type: "set", object: route("b") });
  seen.push(store.revision);
  store.apply(routes, { type: "deleted", object: route("b") });
  seen.push(store.revision);
  assert.equal(new Set(seen).size, seen.length);
  store.apply(routes, { type: "set", object: route("a", { resourceVersion: "2" }) });
  assert.equal(store.revision, seen.at(-1));
});

test("store: a status that was written matters to nobody, but is kept", () => {
  const store = listed(route("a"));
  const written = route("a", { resourceVersion: "2" });
  assert.equal(store.apply(routes, { type: "set", object: written }), false);
  assert.deepEqual(store.all("MailRoute").get("mail/a")?.["status"], { targets: "2" });
});

test("store: a new generation, uid, label, annotation or deletion matters", () => {
  const changes = [
    { generation: 2 },
    { uid: "another" },
    { labels: { team: "x" } },
    { annotations: { "mailroute.dev/approve": "x" } },
    { deletionTimestamp: "2026-01-01T00:00:00Z" },
  ];
  for (const change of changes) {
    const object = route("a", { ...change, resourceVersion: "2" });
    assert.equal(listed(route("a")).apply(routes, { type: "set", object }), true);
  }
});

test("store: of kinds without a generation each version matters", () => {
  const secrets = { kind: "Secret" } as const;
  const store = new Store([secrets]);
  const secret = (resourceVersion: string) => ({
    metadata: { namespace: "mail", name: "s", resourceVersion },
  });
  store.apply(secrets, { type: "listed", objects: [secret("1")] });
  assert.equal(store.apply(secrets, { type: "set", object: secret("1") }), false);
  assert.equal(store.apply(secrets, { type: "set", object: secret("2") }), true);
});
