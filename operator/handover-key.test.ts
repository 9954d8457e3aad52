import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiServer } from "../kube/api-server.testkit.ts";
import { ensureHandoverKey } from "./handover-key.ts";

const path = "/api/v1/namespaces/mail/secrets/mailroute-handover";

test("handover key: it is made once, long enough, and stays", async (context) => {
  const server = await ApiServer.start();
  context.after(() => server.close());
  const options = { api: server.api, namespace: "mail", name: "mailroute" };
  await ensureHandoverKey(options);
  const first = server.get(path);
  const { key = "" } = (first?.["stringData"] ?? {}) as { readonly key?: string };
  assert.match(key, /^[A-Za-z0-9+/]{64}$/);
  await ensureHandoverKey(options);
  assert.deepEqual(server.get(path), first);
});

test("handover key: where it cannot be made, the operator is told", async (context) => {
  const server = await ApiServer.start();
  context.after(() => server.close());
  server.intercept = () => ({ status: 403, body: { message: "no" } });
  const options = { api: server.api, namespace: "mail", name: "mailroute" };
  await assert.rejects(ensureHandoverKey(options), /hand-over key answered 403: no/);
});
