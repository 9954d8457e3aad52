/** What the chart's objects do on a real API server without pods: a drain's rights, and how many relays there are. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import { type Api, createApi } from "../../kube/api.ts";
import { deleteClaim } from "../../relay/claim.ts";
import { eventually } from "../ledger/relay-process.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { Cluster } from "./installation.ts";

const root = join(import.meta.dirname, "../..");
const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "mailroute/cluster");
const helm = join(cache, "bin/helm");
const found = await startControlPlane();
const isCi = process.env["CI"] === "true";
const skip = "missing" in found && !isCi ? found.missing : false;

const core = "/api/v1/namespaces/mail";
const claims = `${core}/persistentvolumeclaims`;
const relays = "/apis/apps/v1/namespaces/mail/statefulsets/mailroute-relay";

let plane: ControlPlane;
let cluster: Cluster;
/** As a pod of the Job that empties the claim of relay 2. */
let drain: Api;

before(async () => {
  if (skip !== false) return;
  if ("missing" in found) throw new Error(found.missing);
  plane = found;
  if (!existsSync(helm)) {
    const script = join(root, "test/cluster/build.sh");
    assert.equal(spawnSync(script, [cache, "helm"], { stdio: "inherit" }).status, 0);
  }
  cluster = new Cluster(plane);
  await cluster.prepare();
  upgrade({ "relay.replicas": 3 });
  for (const name of ["spool-mailroute-relay-1", "spool-mailroute-relay-2", "somebody-elses"]) {
    const resources = { requests: { storage: "1Gi" } };
    const spec = { accessModes: ["ReadWriteOncePod"], resources, storageClassName: "none" };
    await cluster.create(claims, { metadata: { name }, spec });
  }
  drain = await apiOf("mailroute-drain-2-abcde");
});

after(async () => {
  if (skip !== false) return;
  await drain.close();
  await cluster.close();
  await plane.stop();
});

/** `helm upgrade --install`; throws with its words. */
function upgrade(values: Readonly<Record<string, unknown>>): void {
  const all = { hostname: "relay.corp.example", ...values };
  const set = Object.entries(all).flatMap(([path, value]) => [
    "--set-json",
    `${path}=${JSON.stringify(value)}`,
  ]);
  const chart = join(root, "charts/mailroute");
  const args = ["upgrade", "--install", "mailroute", chart, "--namespace", "mail", ...set];
  const { status, stdout, stderr } = spawnSync(helm, args, { encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
}

/** With the token that such a pod of a drain's would have. */
async function apiOf(pod: string): Promise<Api> {
  const spec = {
    serviceAccountName: "mailroute-drain",
    automountServiceAccountToken: false,
    nodeName: "none",
    containers: [{ name: "drain", image: "none.test/none" }],
  };
  const { metadata } = await cluster.create(`${core}/pods`, { metadata: { name: pod }, spec });
  const boundObjectRef = { kind: "Pod", apiVersion: "v1", name: pod, uid: metadata?.["uid"] };
  return await apiWith({ boundObjectRef });
}

async function apiWith(spec: object): Promise<Api> {
  const answer = await cluster.create(`${core}/serviceaccounts/mailroute-drain/token`, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec,
  });
  const { token } = answer["status"] as { token: string };
  const { server = "", caData = "" } = plane.kubeConfig.getCurrentCluster() ?? {};
  const config = new KubeConfig();
  const there = { name: "test", server, caData, skipTLSVerify: false };
  config.loadFromClusterAndUser(there, { name: "drain", token });
  return createApi(config, { requestMsMax: 10_000 });
}

const forget = async (api: Api, name: string): Promise<void> =>
  await deleteClaim({ api, namespace: "mail", name, now: new Date() });

async function isGoing(name: string): Promise<boolean> {
  const { body, status } = await cluster.api.request({ path: `${claims}/${name}` });
  return status === 404 || body.metadata?.["deletionTimestamp"] !== undefined;
}

test("charts: a drain deletes its own claim once it is marked, and no other", {
  skip,
}, async () => {
  // An API server takes a moment to know of a policy.
  const isKept = async (): Promise<boolean> => {
    const { body } = await drain.request({
      method: "PATCH",
      path: `${claims}/spool-mailroute-relay-1`,
      contentType: "application/merge-patch+json",
      body: { metadata: { annotations: { tried: "true" } } },
    });
    return /mailroute-drain-2-abcde does not empty this claim/.test(body.message ?? "");
  };
  await eventually(isKept, { msMax: 30_000, what: "the policy counts", everyMs: 200 });
  await assert.rejects(forget(drain, "spool-mailroute-relay-1"), /answered 403.*does not empty/);
  await assert.rejects(forget(drain, "somebody-elses"), /answered 403/);
  const own = `${claims}/spool-mailroute-relay-2`;
  const unmarked = await drain.request({ method: "DELETE", path: own });
  assert.equal(unmarked.status, 403);
  assert.match(unmarked.body.message ?? "", /only a claim that is marked as drained/);
  await forget(drain, "spool-mailroute-relay-2");
  assert.deepEqual(
    await Promise.all(
      ["spool-mailroute-relay-2", "spool-mailroute-relay-1", "somebody-elses"].map(isGoing),
    ),
    [true, false, false],
  );
});

test("charts: a drain's token that is no Job's pod's deletes nothing", { skip }, async () => {
  const unbound = await apiWith({});
  await assert.rejects(forget(unbound, "spool-mailroute-relay-1"), /mailroute-drain' denied/);
  await unbound.close();
  const other = await apiOf("mailroute-drain-12-abcde");
  await assert.rejects(forget(other, "spool-mailroute-relay-1"), /does not empty this claim/);
  await other.close();
  assert.equal(await isGoing("spool-mailroute-relay-1"), false);
});

test("charts: an autoscaler that is turned on finds as many relays as there are, and keeps its own number", {
  skip,
}, async () => {
  const count = async (): Promise<unknown> =>
    ((await cluster.api.request({ path: relays })).body["spec"] as { replicas: number }).replicas;
  assert.equal(await count(), 3);
  const autoscaling = { "relay.autoscaling.enabled": true };
  upgrade(autoscaling);
  assert.equal(await count(), 3);
  await cluster.patch(`${relays}/scale`, { spec: { replicas: 5 } });
  upgrade({ ...autoscaling, "relay.config.limits.recipientsMax": 500 });
  assert.equal(await count(), 5);
});
