/**
 * Runs beside the tests, in the cluster's network: prints what MailRoutes say, which table is published, which relays
 * are ready and which table each serves, one JSON object (sightings.ts) a line. Loop; it only looks. With "proxy" as
 * argument relays are asked through the API server.
 */

import type { KubeObject } from "../../kube/api.ts";
import { connectCluster } from "../../kube/cluster.ts";
import { type Change, reflect } from "../../kube/reflector.ts";
import { manifestOf } from "../../kube/table-maps.ts";
import type { Seen } from "./sightings.ts";

const askMs = 250;
const askMsMax = 1000;
const tableLabel = "mailroute.dev/table";
const api = connectCluster({ requestMsMax: 5000 });
const isProxied = process.argv.includes("proxy");
/** Where each relay that is ready answers. */
const relays = new Map<string, string>();

function say(seen: Seen, atMs = Date.now()): void {
  console.log(JSON.stringify({ atMs, ...seen }));
}

function watch(
  path: string,
  query: Readonly<Record<string, string>>,
  changed: (change: Change) => void,
): void {
  const limits = { backOffMsMin: 200, backOffMsMax: 500 };
  reflect({ api, path, query, limits, changed });
}

function nameOf({ metadata }: KubeObject): string {
  return `${String(metadata?.["namespace"])}/${String(metadata?.["name"])}`;
}

function route(resource: KubeObject): void {
  const { generation, uid } = resource.metadata ?? {};
  const { conditions = [] } = (resource["status"] ?? {}) as {
    conditions?: Record<string, unknown>[];
  };
  const said = conditions.map(({ type, status, reason, message, observedGeneration }) => [
    String(type),
    { says: `${status} ${reason}: ${message}`, generation: Number(observedGeneration) },
  ]);
  say({
    seen: "route",
    id: nameOf(resource),
    uid: String(uid),
    generation: Number(generation),
    conditions: Object.fromEntries(said),
  });
}

function table(map: KubeObject): void {
  const labels = (map.metadata?.["labels"] ?? {}) as Record<string, string>;
  const installation = labels[tableLabel] ?? "";
  if (map.metadata?.["name"] !== `${installation}-routes`) return; // a shard
  const { digest } = JSON.parse(manifestOf(map).manifest) as { digest: string };
  const namespace = String(map.metadata["namespace"]);
  say({ seen: "table", installation: `${namespace}/${installation}`, digest });
}

function relay(pod: KubeObject): void {
  const { conditions = [], podIP = "" } = (pod["status"] ?? {}) as {
    conditions?: { type: string; status: string }[];
    podIP?: string;
  };
  const isReady =
    pod.metadata?.["deletionTimestamp"] === undefined &&
    conditions.some(({ type, status }) => type === "Ready" && status === "True");
  if (isReady) relays.set(nameOf(pod), podIP);
  else relays.delete(nameOf(pod));
  say({ seen: "relay", id: nameOf(pod), ready: isReady, address: podIP });
}

async function ask(id: string, address: string): Promise<void> {
  const askedMs = Date.now();
  const { digest, stale } = await (isProxied ? askByProxy(id) : askDirectly(address));
  if (typeof digest === "string")
    say({ seen: "serves", id, digest, stale: stale === true }, askedMs);
}

async function askDirectly(address: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`http://${address}:9090/revision`, {
    signal: AbortSignal.timeout(askMsMax),
  });
  return (await answer.json()) as Record<string, unknown>;
}

async function askByProxy(id: string): Promise<Record<string, unknown>> {
  const [namespace, pod] = id.split("/");
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}:9090/proxy/revision`;
  return (await api.request({ path, signal: AbortSignal.timeout(askMsMax) })).body;
}

watch("/apis/mailroute.dev/v1alpha1/mailroutes", {}, (change) => {
  if (change.type === "listed") {
    say({ seen: "routes listed", ids: change.objects.map(nameOf) });
    change.objects.forEach(route);
  } else if (change.type === "set") route(change.object);
  else say({ seen: "route gone", id: nameOf(change.object) });
});
watch("/api/v1/configmaps", { labelSelector: tableLabel }, (change) => {
  if (change.type === "listed") change.objects.forEach(table);
  else if (change.type === "set") table(change.object);
});
const isRelay = { labelSelector: "app.kubernetes.io/component=relay" };
watch("/api/v1/pods", isRelay, (change) => {
  if (change.type === "listed") {
    relays.clear();
    change.objects.forEach(relay);
  } else if (change.type === "set") relay(change.object);
  else {
    relays.delete(nameOf(change.object));
    say({ seen: "relay", id: nameOf(change.object), ready: false, address: "" });
  }
});
setInterval(() => {
  for (const [id, address] of relays) ask(id, address).catch(() => {}); // it is not there just now
}, askMs);
