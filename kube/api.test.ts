import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import { createApi } from "./api.ts";

const directory = mkdtempSync(join(tmpdir(), "mailroute-api-"));
const servers: Server[] = [];
after(() => {
  for (const server of servers) server.close().closeAllConnections();
  rmSync(directory, { recursive: true, force: true });
});

const file = (name: string): string => join(directory, name);

/** A self-signed certificate for 127.0.0.1, NAME.crt and NAME.key. */
function makeCertificate(name: string): void {
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const subject = ["-nodes", "-days", "2", "-subj", `/CN=${name}`];
  const names = ["-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-keyout", file(`${name}.key`), "-out", file(`${name}.crt`)];
  execFileSync("openssl", [...request, ...subject, ...names, ...files], { stdio: "pipe" });
}

/** Answers with the authorization that it was shown. */
async function serve(certificate: string): Promise<Server> {
  const cert = readFileSync(file(`${certificate}.crt`));
  const key = readFileSync(file(`${certificate}.key`));
  const server = createServer({ cert, key }, (request, response) => {
    response.end(JSON.stringify({ kind: "Echo", message: request.headers.authorization }));
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

test("api: an authority that is renewed counts without a restart", async () => {
  makeCertificate("old");
  makeCertificate("new");
  const server = await serve("old");
  const { port } = server.address() as AddressInfo;
  writeFileSync(file("ca.crt"), readFileSync(file("old.crt")));
  writeFileSync(file("token"), "first");
  const config = new KubeConfig();
  config.loadFromOptions({
    clusters: [{ name: "c", server: `https://127.0.0.1:${port}`, caFile: file("ca.crt") }],
    users: [
      { name: "u", authProvider: { name: "tokenFile", config: { tokenFile: file("token") } } },
    ],
    contexts: [{ name: "x", cluster: "c", user: "u" }],
    currentContext: "x",
  });
  const api = createApi(config, { requestMsMax: 5000, credentialsMs: 0 });
  assert.equal((await api.request({ path: "/" })).body.message, "Bearer first");

  server.setSecureContext({
    cert: readFileSync(file("new.crt")),
    key: readFileSync(file("new.key")),
  });
  server.closeAllConnections();
  await assert.rejects(api.request({ path: "/" }));
  writeFileSync(file("ca.crt"), readFileSync(file("new.crt")));
  assert.equal((await api.request({ path: "/" })).status, 200);
  await api.close();
});
