import assert from "node:assert/strict";
import { test } from "node:test";
import { Store } from "./store.ts";
import { watchesOf } from "./watches.ts";

test("watches: the whole cluster by default, and nothing is given", () => {
  const { watched, given } = watchesOf({ namespaces: undefined, grants: [] });
  assert.deepEqual(
    watched.map(({ path }) => path.split("/").at(-1)),
    ["mailroutes", "mailgrants", "namespaces", "secrets"],
  );
  assert.deepEqual(given, []);
});

test("watches: named namespaces are watched one by one, and nothing of the cluster's is asked for", () => {
  const { watched } = watchesOf({ namespaces: ["mail", "team"], grants: [] });
  assert.equal(watched.length, 4);
  for (const { path } of watched)
    assert.match(path, /\/namespaces\/(mail|team)\/(mailroutes|secrets)$/);
});

test("watches: of Secrets never more than the metadata", () => {
  for (const namespaces of [undefined, ["mail"]])
    for (const { kind, metadataOnly } of watchesOf({ namespaces, grants: [] }).watched)
      assert.equal(metadataOnly, kind === "Secret");
});

test("store: is complete when every watch has listed, and a list replaces its own namespace only", () => {
  const { watched, given } = watchesOf({ namespaces: ["a", "b"], grants: [] });
  const store = new Store([...watched, ...given.map(({ scope }) => scope)]);
  const route = (namespace: string, name: string) => ({ metadata: { namespace, name } });
  for (const { scope, objects } of given) store.apply(scope, { type: "listed", objects });
  for (const scope of watched) {
    assert.equal(store.isComplete, false);
    const objects = scope.kind === "MailRoute" ? [route(scope.namespace ?? "", "r")] : [];
    store.apply(scope, { type: "listed", objects });
  }
  assert.equal(store.isComplete, true);
  store.apply({ kind: "MailRoute", namespace: "a" }, { type: "listed", objects: [] });
  assert.deepEqual([...store.all("MailRoute").keys()], ["b/r"]);
});
