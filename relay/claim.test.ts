import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiServer } from "../kube/api-server.testkit.ts";
import { deleteClaim } from "./claim.ts";

const path = "/api/v1/namespaces/mail/persistentvolumeclaims/spool-mailroute-relay-2";

test("claim: it is marked as drained, and deleted as the one that was marked", async (context) => {
  const server = await ApiServer.start();
  context.after(() => server.close());
  server.set(path, { metadata: { name: "spool-mailroute-relay-2", namespace: "mail" } });
  const name = "spool-mailroute-relay-2";
  const options = { api: server.api, namespace: "mail", name, now: new Date(0) };
  await deleteClaim(options);
  assert.equal(server.get(path), undefined);
  const [mark, gone] = server.requests.filter((asked) => asked.path === path);
  assert.deepEqual(mark?.body, {
    metadata: { annotations: { "mailroute.dev/drained": "1970-01-01T00:00:00.000Z" } },
  });
  assert.equal(gone?.method, "DELETE");
  assert.match(JSON.stringify(gone?.body), /"preconditions":\{"uid":"[^"]+"\}/);
  await deleteClaim(options); // gone already
});

test("claim: where it cannot be deleted, that is an error and not an empty claim", async (context) => {
  const server = await ApiServer.start();
  context.after(() => server.close());
  server.intercept = () => ({ status: 403, body: { message: "no" } });
  const options = { api: server.api, namespace: "mail", name: "a", now: new Date(0) };
  await assert.rejects(deleteClaim(options), /answered 403: no/);
});
