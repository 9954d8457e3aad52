/** A relay that waits for its first route table serves nobody, and can be stopped like any other. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const main = join(import.meta.dirname, "../../cli/main.ts");
const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: nobody, user: {}}]
contexts: [{name: none, context: {cluster: none, user: nobody}}]
current-context: none
`;

test("relay: SIGTERM ends one that has no route table yet", { timeout: 30_000 }, async () => {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-waiting-"));
  const config = {
    hostname: "relay.test",
    routes: { installation: { name: "mailroute", namespace: "mail" } },
    spool: { directory: join(directory, "spool") },
    listeners: [{ name: "smtp", host: "127.0.0.1", port: 0 }],
    admin: { host: "127.0.0.1", port: 0 },
  };
  writeFileSync(join(directory, "relay.yaml"), JSON.stringify(config));
  writeFileSync(join(directory, "kubeconfig"), kubeconfig);
  const args = [main, "relay", "--config", join(directory, "relay.yaml")];
  const relay = spawn(process.execPath, args, {
    env: { ...process.env, KUBECONFIG: join(directory, "kubeconfig") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = (await once(relay.stdout, "data")) as [Buffer];
    assert.match(line.toString(), /"event":"problem"/); // the API server is not there
    relay.kill("SIGTERM");
    const [code] = (await once(relay, "exit")) as [number | null];
    assert.equal(code, 0);
  } finally {
    relay.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
});
