import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "../kube/api.ts";
import { snapshotOf } from "./snapshot.ts";
import { Store } from "./store.ts";

const scopes = [
  { kind: "MailRoute" },
  { kind: "MailGrant" },
  { kind: "Namespace" },
  { kind: "Secret" },
] as const;
const [routes, , namespaces, secrets] = scopes;

function route(more: Readonly<Record<string, unknown>>, status: object = {}): KubeObject {
  return {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailRoute",
    metadata: { namespace: "mail", name: "a", uid: "u", generation: 1, ...more },
    spec: { suffixes: ["a.test"], target: { discard: {} } },
    status,
  };
}

test("snapshot: a status changes nothing for compile, which gets the very same resource", () => {
  const store = new Store(scopes);
  store.apply(routes, { type: "listed", objects: [route({ resourceVersion: "1" })] });
  const first = snapshotOf(store, new Map()).routes[0]?.resource;
  const written = route({ resourceVersion: "2", labels: { a: "b" } }, { conditions: [] });
  store.apply(routes, { type: "set", object: written });
  assert.equal(snapshotOf(store, new Map()).routes[0]?.resource, first);
  store.apply(routes, { type: "set", object: route({ resourceVersion: "3", generation: 2 }) });
  const next = snapshotOf(store, new Map()).routes[0];
  assert.equal(next?.id, "mail/a");
  assert.deepEqual(next.resource, {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailRoute",
    metadata: { name: "a", namespace: "mail", generation: 2, creationTimestamp: undefined },
    spec: { suffixes: ["a.test"], target: { discard: {} } },
  });
});

test("snapshot: what has no spec goes to compile as it is, to be judged there", () => {
  const store = new Store(scopes);
  const object = { metadata: { namespace: "mail", name: "a" } };
  store.apply(routes, { type: "listed", objects: [object] });
  assert.equal(snapshotOf(store, new Map()).routes[0]?.resource, object);
});

test("snapshot: labels of namespaces, and of Secrets whom they may be shown to and what was read", () => {
  const store = new Store(scopes);
  const labels = { team: "x" };
  store.apply(namespaces, { type: "listed", objects: [{ metadata: { name: "mail", labels } }] });
  const annotations = { "mailroute.dev/hosts": "mx.test:25, mx2.test:25" };
  const lent = { metadata: { namespace: "mail", name: "lent", annotations } };
  const kept = { metadata: { namespace: "mail", name: "kept" } };
  store.apply(secrets, { type: "listed", objects: [lent, kept] });
  const hosts = ["mx.test:25", "mx2.test:25"];
  const contents = new Map([["mail/lent", { version: "v", keys: ["password"], hosts }]]);
  const { references } = snapshotOf(store, contents);
  assert.deepEqual(references.namespaces, new Map([["mail", new Map([["team", "x"]])]]));
  assert.deepEqual(
    references.secrets,
    new Map([
      ["mail/lent", { version: "v", keys: ["password"], hosts: ["mx.test:25", "mx2.test:25"] }],
      ["mail/kept", { version: "", keys: [], hosts: [] }],
    ]),
  );
});
