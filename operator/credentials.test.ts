/** Lent Secrets on a server that behaves as the API server does. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { KubeObject } from "../kube/api.ts";
import { ApiServer, failure } from "../kube/api-server.testkit.ts";
import { LentSecrets } from "./credentials.ts";
import { snapshotOf } from "./snapshot.ts";
import { Store } from "./store.ts";

const path = "/api/v1/namespaces/mail/secrets/login";
const id = "mail/login";

function secret(hosts: string, password: string): KubeObject {
  const annotations = { "mailroute.dev/hosts": hosts };
  const data = { password: Buffer.from(password).toString("base64") };
  return { metadata: { namespace: "mail", name: "login", annotations }, data };
}

async function serverWith(context: TestContext, object: KubeObject): Promise<ApiServer> {
  const server = await ApiServer.start();
  context.after(async () => await server.close());
  server.set(path, object);
  return server;
}

/** What compile is told of the Secret, where `watched` is what the watch has brought. */
function factsOf(watched: KubeObject | undefined, secrets: LentSecrets) {
  const scope = { kind: "Secret" } as const;
  const store = new Store([scope]);
  store.apply(scope, { type: "listed", objects: [watched ?? {}] });
  return snapshotOf(store, secrets.contents).references.secrets.get(id);
}

test("credentials: a password read ahead of the watch is lent only to hosts that both versions name", async (context) => {
  const server = await serverWith(context, secret("old.test:25,both.test:25", "before"));
  const secrets = new LentSecrets(server.api);
  const watched = server.get(path) as KubeObject;
  // Written after the watch has brought the first version, and before that is read.
  server.set(path, secret("both.test:25,new.test:25", "after"));
  await secrets.refresh(new Map([[id, watched]]));
  assert.equal(secrets.entries(new Set([id]))[0]?.values["password"], "after");
  assert.deepEqual(factsOf(watched, secrets)?.hosts, ["both.test:25"]);
  const caughtUp = server.get(path);
  assert.deepEqual(factsOf(caughtUp, secrets)?.hosts, ["both.test:25", "new.test:25"]);
});

test("credentials: a password that the watch is ahead of is not lent to hosts that only the newer version names", async (context) => {
  const server = await serverWith(context, secret("old.test:25", "before"));
  const secrets = new LentSecrets(server.api);
  await secrets.refresh(new Map([[id, server.get(path) as KubeObject]]));
  const newer = server.set(path, secret("new.test:25", "after"));
  server.intercept = () => failure(403, "Forbidden");
  await secrets.refresh(new Map([[id, newer]]));
  assert.equal(secrets.entries(new Set([id]))[0]?.values["password"], "before");
  assert.deepEqual(factsOf(newer, secrets)?.hosts, []);
});

test("credentials: what an earlier leader handed out is lent to nobody until it has been read", async (context) => {
  const server = await serverWith(context, secret("mx.test:25", "kept"));
  const secrets = new LentSecrets(server.api);
  const watched = server.get(path) as KubeObject;
  secrets.restore([{ secret: id, version: "v1", values: { password: "kept" } }]);
  assert.deepEqual(factsOf(watched, secrets)?.hosts, []);
  server.intercept = () => failure(500, "InternalError");
  await assert.rejects(secrets.refresh(new Map([[id, watched]])), /mail\/login answered 500/);
  server.intercept = () => undefined;
  await secrets.refresh(new Map([[id, watched]]));
  const facts = { version: "v1", keys: ["password"], hosts: ["mx.test:25"] };
  assert.deepEqual(factsOf(watched, secrets), facts);
});
