/** Operator and relay against a real API server: what is applied is served, and every status is a fact. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually, type RelayProcess } from "../ledger/relay-process.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import type { Cluster, OperatorProcess } from "./installation.ts";
import { createSite, type Site } from "./site.ts";

const found = await startControlPlane();
const skip = "missing" in found && process.env["CI"] !== "true" ? found.missing : false;

/** Longer than anything that the operator does again and again. */
const quietMs = 20_000;

let plane: ControlPlane;
let site: Site;
let cluster: Cluster;
let relay: RelayProcess;
let operator: OperatorProcess;

before(async () => {
  if (skip !== false) return;
  if ("missing" in found) throw new Error(found.missing);
  plane = found;
  site = await createSite(plane);
  ({ cluster, relay } = site);
  operator = cluster.operator("op-0", site.adminPort);
  await cluster.route("a", site.specTo("one", "a.test"));
  await relay.start();
  await cluster.relayPod("relay-0");
});

after(async () => {
  if (skip !== false) return;
  await site.close();
  await plane.stop();
});

test("cluster: a MailRoute that is applied is served, and Programmed says so", {
  skip,
}, async () => {
  await cluster.until("a", "Programmed", "True");
  await cluster.until("a", "Ready", "True");
  await site.arrives("first@a.test", "one");
});

test("cluster: an edit goes to the relay, and Programmed is never True for what is not served", {
  skip,
}, async () => {
  await cluster.route("a", site.specTo("two", "a.test"));
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
  await site.arrives("second@a.test", "two");
});

test("cluster: a second claimant loses, is told by whom, and costs the first nothing", {
  skip,
}, async () => {
  await cluster.route("b", site.specTo("one", "a.test", "b.test"));
  await cluster.until("b", "Accepted", "False");
  const condition = await cluster.condition("b", "Accepted");
  assert.equal(condition["reason"], "Conflicted");
  assert.match(
    String(condition["message"]),
    /suffix:a\.test is held by mail\/a; 1 of 2 keys are in force/,
  );
  await site.arrives("third@a.test", "two");
  await site.arrives("third@b.test", "one");
});

test("cluster: without a grant another namespace claims nothing, with one it does", {
  skip,
}, async () => {
  await cluster.create("/api/v1/namespaces", { metadata: { name: "team", labels: { team: "x" } } });
  const hosts = [{ host: "127.0.0.1", port: site.sinks.get("one")?.port }];
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
  const port = site.sinks.get("one")?.port ?? 0;
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
  await site.send("waits@secret.a.test");
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
    site.arrivals.some(({ recipients }) => recipients.includes("waits@secret.a.test")),
    false,
  );
});

test("cluster: with nothing changed the operator writes nothing but its lease", {
  skip,
}, async () => {
  await cluster.until("secret", "Programmed", "True");
  const lines = plane.audit;
  if (lines === undefined) return;
  const writes = () =>
    lines()
      .filter(({ verb }) => /create|update|patch|delete/.test(verb))
      .filter(({ requestURI }) => !requestURI.includes("/leases"))
      .map(({ verb, requestURI }) => `${verb} ${requestURI}`);
  let latest: string[] = [];
  // Where mail of an earlier test has just been found to wait, or the host has stood still, a status says so once.
  for (let tries = 0; tries < 5; tries += 1) {
    const count = writes().length;
    await new Promise((resolve) => setTimeout(resolve, quietMs));
    latest = writes().slice(count);
    if (latest.length === 0) return;
  }
  assert.fail(`it writes again and again: ${latest.join(", ")}`);
});

test("cluster: a leader who was paused cannot put the old table back", {
  skip,
  timeout: 240_000,
}, async () => {
  const second = cluster.operator("op-1", relay.adminPort());
  operator.signal("SIGSTOP");
  await eventually(() => second.events.some(({ event }) => event === "leading"), {
    msMax: 90_000,
    what: "the second leads",
  });
  await cluster.route("a", site.specTo("one", "a.test"));
  await cluster.until("a", "Programmed", "True");
  await site.arrives("fenced@a.test", "one");
  operator.signal("SIGCONT");
  assert.equal(await operator.ended, 1);
  operator = second;
  await site.arrives("after@a.test", "one");
  assert.equal(
    site.arrivals.some(
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
  await site.arrives("outage@a.test", "one");
  await relay.kill("SIGKILL");
  const restarted = relay.start(); // from the copy, after 30 s of trying
  await restarted;
  const { stale } = (await (
    await fetch(`http://127.0.0.1:${relay.adminPort()}/revision`)
  ).json()) as { stale: boolean };
  assert.equal(stale, true);
  await site.arrives("stale@a.test", "one");
  // Without the API server nobody can lead: the process has ended, and its pod would start it again.
  assert.equal(await operator.ended, 1);
  await resume();
  operator = cluster.operator("op-2", relay.adminPort());
  await cluster.route("a", site.specTo("two", "a.test"));
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
  await site.arrives("back@a.test", "two");
});
