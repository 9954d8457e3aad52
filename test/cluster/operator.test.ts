/** Operator and relay against a real API server: what is applied is served, and every status is a fact. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { after, before, test } from "node:test";
import { startGenerator } from "../ledger/generator.ts";
import { eventually, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { type Sink, startSink } from "../ledger/sink.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { Cluster, type OperatorProcess } from "./installation.ts";

const found = await startControlPlane();
const skip = "missing" in found && process.env["CI"] !== "true" ? found.missing : false;

let plane: ControlPlane;
let cluster: Cluster;
let relay: RelayProcess;
let operator: OperatorProcess;
const sinks = new Map<string, Sink>();
const arrivals: { host: string; recipients: readonly string[] }[] = [];

before(async () => {
  if (skip !== false) return;
  if ("missing" in found) throw new Error(found.missing);
  plane = found;
  cluster = new Cluster(plane);
  await cluster.prepare();
  for (const host of ["one", "two"]) {
    const received = ({ recipients }: { recipients: readonly string[] }): undefined =>
      void arrivals.push({ host, recipients });
    sinks.set(host, await startSink({ received }));
  }
  const admin = await freePort();
  relay = relayProcess({
    routes: { installation: { name: "mailroute", namespace: "mail" } },
    admin: { host: "127.0.0.1", port: admin },
    retry: { initialMs: 500, maxMs: 500 },
  });
  operator = cluster.operator("op-0", admin);
  await cluster.route("a", specTo("one", "a.test"));
  await relay.start();
  await cluster.relayPod("relay-0");
});

after(async () => {
  if (skip !== false) return;
  await relay.close();
  await cluster.close();
  for (const sink of sinks.values()) await sink.close();
  await plane.stop();
});

function specTo(host: string, ...suffixes: string[]): object {
  const hosts = [{ host: "127.0.0.1", port: sinks.get(host)?.port }];
  return {
    suffixes,
    target: { hosts },
    tls: { mode: "Disabled" },
    retry: { initial: "1s", max: "1s" },
  };
}

async function send(to: string): Promise<void> {
  const generator = startGenerator({
    port: () => relay.port(),
    connections: 1,
    messagesPerSecond: 5,
    bodyBytes: 100,
    address: () => ({ to, domain: "" }),
  });
  await eventually(() => generator.entries.some(({ answered }) => answered), {
    msMax: 10_000,
    what: `${to} is taken`,
  });
  await generator.stop();
}

async function arrives(to: string, host: string): Promise<void> {
  await send(to);
  const there = () => arrivals.some((each) => each.host === host && each.recipients.includes(to));
  await eventually(there, { msMax: 10_000, what: `${to} at ${host}` });
}

test("cluster: a MailRoute that is applied is served, and Programmed says so", {
  skip,
}, async () => {
  await cluster.until("a", "Programmed", "True");
  await cluster.until("a", "Ready", "True");
  await arrives("first@a.test", "one");
});

test("cluster: an edit goes to the relay, and Programmed is never True for what is not served", {
  skip,
}, async () => {
  await cluster.route("a", specTo("two", "a.test"));
  await cluster.until("a", "Programmed", "True");
  const { body } = await cluster.api.request({
    path: "/api/v1/namespaces/mail/configmaps/mailroute-routes",
  });
  const { digest } = JSON.parse(
    (body["data"] as Record<string, string>)["manifest.json"] ?? "{}",
  ) as { digest: string };
  const served = (await (await fetch(`http://127.0.0.1:${relay.adminPort()}/revision`)).json()) as {
    digest: string;
  };
  assert.equal(served.digest, digest);
  await arrives("second@a.test", "two");
});

test("cluster: a second claimant loses, is told by whom, and costs the first nothing", {
  skip,
}, async () => {
  await cluster.route("b", specTo("one", "a.test", "b.test"));
  await cluster.until("b", "Accepted", "False");
  const condition = await cluster.condition("b", "Accepted");
  assert.equal(condition["reason"], "Conflicted");
  assert.match(
    String(condition["message"]),
    /suffix:a\.test is held by mail\/a; 1 of 2 keys are in force/,
  );
  await arrives("third@a.test", "two");
  await arrives("third@b.test", "one");
});

test("cluster: without a grant another namespace claims nothing, with one it does", {
  skip,
}, async () => {
  await cluster.create("/api/v1/namespaces", { metadata: { name: "team", labels: { team: "x" } } });
  const hosts = [{ host: "127.0.0.1", port: sinks.get("one")?.port }];
  const team = "/apis/mailroute.dev/v1alpha1/namespaces/team/mailroutes";
  await cluster.create(team, {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailRoute",
    metadata: { name: "t", namespace: "team" },
    spec: { suffixes: ["team.test"], target: { hosts }, tls: { mode: "Disabled" } },
  });
  const reason = async (): Promise<unknown> => {
    const { body } = await cluster.api.request({ path: `${team}/t` });
    const { conditions = [] } = (body["status"] ?? {}) as {
      conditions?: Record<string, unknown>[];
    };
    return conditions.find((each) => each["type"] === "Accepted")?.["reason"];
  };
  await eventually(async () => (await reason()) === "NotPermitted", {
    msMax: 10_000,
    what: "refused without a grant",
  });
  await cluster.create("/apis/mailroute.dev/v1alpha1/mailgrants", {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailGrant",
    metadata: { name: "team" },
    spec: {
      namespaces: { names: ["team"] },
      suffixes: ["team.test"],
      targets: { hosts: [{ host: "127.0.0.1" }] },
    },
  });
  await eventually(async () => (await reason()) === "Accepted", {
    msMax: 10_000,
    what: "accepted with a grant",
  });
});

test("cluster: a missing Secret keeps the domain from falling through, and lending it mends that", {
  skip,
}, async () => {
  const port = sinks.get("one")?.port ?? 0;
  const target = { hosts: [{ host: "127.0.0.1", port }] };
  const spec = {
    suffixes: ["secret.a.test"],
    target,
    tls: { mode: "Verified" },
    auth: { secretRef: { name: "login" } },
  };
  await cluster.route("secret", spec);
  await cluster.until("secret", "ResolvedRefs", "False");
  await cluster.until("secret", "Programmed", "True");
  await send("waits@secret.a.test");
  const metadata = { name: "login", namespace: "mail" };
  const stringData = { username: "u", password: "p" };
  await cluster.create("/api/v1/namespaces/mail/secrets", { metadata, stringData });
  const words = async () => String((await cluster.condition("secret", "ResolvedRefs"))["message"]);
  await eventually(async () => /kubectl annotate/.test(await words()), {
    msMax: 10_000,
    what: "told how to lend it",
  });
  await cluster.patch("/api/v1/namespaces/mail/secrets/login", {
    metadata: { annotations: { "mailroute.dev/hosts": `127.0.0.1:${port}` } },
  });
  await cluster.until("secret", "ResolvedRefs", "True");
  const { body } = await cluster.api.request({
    path: "/api/v1/namespaces/mail/configmaps?labelSelector=mailroute.dev/table",
  });
  assert.doesNotMatch(JSON.stringify(body), /"password"|cA==/);
  assert.equal(
    arrivals.some(({ recipients }) => recipients.includes("waits@secret.a.test")),
    false,
  );
});

test("cluster: with nothing changed the operator writes nothing but its lease", {
  skip,
}, async () => {
  await cluster.until("secret", "Programmed", "True");
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const lines = plane.audit;
  if (lines === undefined) return;
  const writes = () =>
    lines().filter(
      ({ verb, requestURI }) =>
        /create|update|patch|delete/.test(verb) && !requestURI.includes("/leases"),
    );
  const count = writes().length;
  await new Promise((resolve) => setTimeout(resolve, 8000));
  assert.deepEqual(
    writes()
      .slice(count)
      .map(({ verb, requestURI }) => `${verb} ${requestURI}`),
    [],
  );
});

test("cluster: a leader who was paused cannot put the old table back", {
  skip,
  timeout: 90_000,
}, async () => {
  const second = cluster.operator("op-1", relay.adminPort());
  operator.signal("SIGSTOP");
  await eventually(() => second.events.some(({ event }) => event === "leading"), {
    msMax: 40_000,
    what: "the second leads",
  });
  await cluster.route("a", specTo("one", "a.test"));
  await cluster.until("a", "Programmed", "True");
  await arrives("fenced@a.test", "one");
  operator.signal("SIGCONT");
  assert.equal(await operator.ended, 1);
  operator = second;
  await arrives("after@a.test", "one");
  assert.equal(
    arrivals.some(
      ({ host, recipients }) => host === "two" && recipients.some((to) => /fenced|after/.test(to)),
    ),
    false,
  );
});

test("cluster: an API server that is gone for a while costs no mail and no route", {
  skip,
  timeout: 120_000,
}, async () => {
  if (plane.outage === undefined) return;
  const resume = await plane.outage();
  await arrives("outage@a.test", "one");
  await relay.kill("SIGKILL");
  const restarted = relay.start(); // from the copy, after 30 s of trying
  await restarted;
  const { stale } = (await (
    await fetch(`http://127.0.0.1:${relay.adminPort()}/revision`)
  ).json()) as { stale: boolean };
  assert.equal(stale, true);
  await arrives("stale@a.test", "one");
  // Without the API server nobody can lead: the process has ended, and its pod would start it again.
  assert.equal(await operator.ended, 1);
  await resume();
  operator = cluster.operator("op-2", relay.adminPort());
  await cluster.route("a", specTo("two", "a.test"));
  await eventually(
    async () => {
      const revision = (await (
        await fetch(`http://127.0.0.1:${relay.adminPort()}/revision`)
      ).json()) as { stale: boolean };
      return !revision.stale;
    },
    { msMax: 60_000, what: "the relay is current again" },
  );
  await cluster.until("a", "Programmed", "True");
  await arrives("back@a.test", "two");
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
