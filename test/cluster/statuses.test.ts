/** What statuses, the guard and grants say on a real API server, and an installation of some namespaces only. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "../ledger/relay-process.ts";
import { startSink } from "../ledger/sink.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { type Cluster, type OperatorProcess, routesPath } from "./installation.ts";
import { createSite, type Site } from "./site.ts";

const found = await startControlPlane();
const skip = "missing" in found && process.env["CI"] !== "true" ? found.missing : false;

let plane: ControlPlane;
let site: Site;
let cluster: Cluster;
let operator: OperatorProcess;

before(async () => {
  if (skip !== false) return;
  if ("missing" in found) throw new Error(found.missing);
  plane = found;
  site = await createSite(plane);
  ({ cluster } = site);
  operator = cluster.operator("op-0", site.adminPort);
  await cluster.route("a", site.specTo("one", "a.test"));
  await site.relay.start();
  await cluster.relayPod("relay-0");
  await cluster.until("a", "Ready", "True");
});

after(async () => {
  if (skip !== false) return;
  await site.close();
  await plane.stop();
});

const grantsPath = "/apis/mailroute.dev/v1alpha1/mailgrants";

async function eventsOf(name: string): Promise<readonly string[]> {
  const { body } = await cluster.api.request({
    path: "/apis/events.k8s.io/v1/namespaces/mail/events",
  });
  const items = (body["items"] ?? []) as Record<string, unknown>[];
  return items
    .filter(({ regarding }) => (regarding as { name?: string }).name === name)
    .map(({ type, reason, note }) => `${String(type)} ${String(reason)} ${String(note)}`);
}

test("statuses: hosts that take no mail are Delivering=False, told as an Event, and True again", {
  skip,
  timeout: 90_000,
}, async () => {
  await cluster.until("a", "Delivering", "True");
  const gone = await startSink({ received: () => undefined });
  const { port } = gone;
  await gone.close();
  const target = { hosts: [{ host: "127.0.0.1", port }] };
  await cluster.route("away", { ...site.specTo("one", "away.test"), target });
  await cluster.until("away", "Programmed", "True");
  await site.send("u@away.test");
  await cluster.until("away", "Delivering", "False");
  const { reason, message } = await cluster.condition("away", "Delivering");
  assert.equal(reason, "HostsFailing");
  assert.equal(message, `127.0.0.1:${port} cannot be connected to; mail for it waits`);
  assert.equal((await cluster.condition("away", "Ready"))["status"], "True");
  const isTold = async () =>
    (await eventsOf("away")).some((each) => each.startsWith("Warning HostsFailing"));
  await eventually(isTold, { msMax: 10_000, what: "an Event tells of it" });
  await cluster.route("away", site.specTo("one", "away.test"));
  await cluster.until("away", "Delivering", "True");
});

test("statuses: a MailGrant says whether it is in force, and what is wrong with it", {
  skip,
}, async () => {
  const grant = (name: string, suffix: string) => ({
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailGrant",
    metadata: { name },
    spec: { namespaces: { names: ["team"] }, suffixes: [suffix] },
  });
  await cluster.create(grantsPath, grant("good", "good.test"));
  await cluster.create(grantsPath, grant("bad", "numeric.123"));
  const accepted = async (name: string): Promise<Record<string, unknown>> => {
    const { body } = await cluster.api.request({ path: `${grantsPath}/${name}` });
    const { conditions = [] } = (body["status"] ?? {}) as { conditions?: object[] };
    return (conditions[0] ?? {}) as Record<string, unknown>;
  };
  const is = (name: string, status: string) => async () =>
    (await accepted(name))["status"] === status;
  await eventually(is("good", "True"), { msMax: 10_000, what: "the good one is accepted" });
  await eventually(is("bad", "False"), { msMax: 10_000, what: "the bad one is not" });
  assert.match(String((await accepted("bad"))["message"]), /spec\.suffixes\[0\].*numeric\.123/);
});

test("statuses: what the guard holds back is Stalled with the command, and counts once it is approved", {
  skip,
  timeout: 60_000,
}, async () => {
  for (const name of ["a", "away"])
    await cluster.api.request({ method: "DELETE", path: `${routesPath}/${name}` });
  const isHeld = () => operator.events.some(({ event }) => event === "held-back");
  await eventually(isHeld, { msMax: 10_000, what: "the guard holds the empty table back" });
  await site.arrives("kept@a.test", "one");
  const { body } = await cluster.api.request({
    path: "/api/v1/namespaces/mail/configmaps/mailroute-routes",
  });
  const { digest } = operator.events.findLast(({ event }) => event === "held-back") ?? {};
  assert.notEqual(digest, undefined);
  const { data } = body as { data?: Record<string, string> };
  const inForce = JSON.parse(data?.["manifest.json"] ?? "{}") as { digest?: string };
  assert.notEqual(inForce.digest, digest);
  await cluster.patch("/api/v1/namespaces/mail/configmaps/mailroute-routes", {
    metadata: { annotations: { "mailroute.dev/approve": digest } },
  });
  const isReleased = () => operator.events.some(({ event }) => event === "released");
  await eventually(isReleased, { msMax: 15_000, what: "the approved table is published" });
});

test("statuses: an installation of some namespaces sees no others, and takes its grants from a file", {
  skip,
  timeout: 90_000,
}, async () => {
  operator.signal("SIGTERM");
  await operator.ended;
  for (const name of ["team", "elsewhere"])
    await cluster.create("/api/v1/namespaces", { metadata: { name } });
  const spec = site.specTo("two", "team.test");
  const route = { apiVersion: "mailroute.dev/v1alpha1", kind: "MailRoute", spec };
  for (const namespace of ["team", "elsewhere"])
    await cluster.create(`/apis/mailroute.dev/v1alpha1/namespaces/${namespace}/mailroutes`, {
      ...route,
      metadata: { name: "t", namespace },
    });
  const grant = {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailGrant",
    metadata: { name: "team" },
    spec: {
      namespaces: { names: ["team", "elsewhere"] },
      suffixes: ["team.test"],
      targets: { hosts: [{ host: "127.0.0.1" }] },
    },
  };
  const grants = cluster.file("grants.yaml", JSON.stringify(grant));
  operator = cluster.operator("op-1", site.adminPort, [
    "--watch-namespace=team",
    `--grants=${grants}`,
  ]);
  const status = async (namespace: string): Promise<string> => {
    const path = `/apis/mailroute.dev/v1alpha1/namespaces/${namespace}/mailroutes/t`;
    const { body } = await cluster.api.request({ path });
    const { conditions = [] } = (body["status"] ?? {}) as {
      conditions?: { type: string; status: string }[];
    };
    return conditions.find(({ type }) => type === "Ready")?.status ?? "";
  };
  await eventually(async () => (await status("team")) === "True", {
    msMax: 40_000,
    what: "the watched namespace's route is served",
  });
  await site.arrives("u@team.test", "two");
  assert.equal(await status("elsewhere"), "Unknown");
});
