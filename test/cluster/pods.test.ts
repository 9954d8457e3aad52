/** The image and the charts on a real node: what is applied is served by pods, whatever happens to them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { type Entry, type Rule, reckon } from "../ledger/reckoning.ts";
import { eventually } from "../ledger/relay-process.ts";
import { forbidden, unused } from "./grants.ts";
import { type Asked, type ClusterNode, startNode } from "./node.ts";
import { type HopName, hopHost, namespace, Pods, release } from "./pods.ts";

const found = startNode();
const skip = "missing" in found && process.env["CI"] !== "true" ? found.missing : false;
const timeout = 240_000;

let node: ClusterNode;
let pods: Pods;
let failed = false;

before(() => {
  if (skip !== false) return;
  if ("missing" in found) throw new Error(found.missing);
  node = found;
  pods = new Pods(node);
  pods.prepare();
});

afterEach((context) => {
  if (!("passed" in context) || context.passed === true || failed || skip !== false) return;
  failed = true; // the first failure is the one to look at
  console.error(pods.words());
});

after(() => {
  if (skip === false) node.stop();
});

const specTo = (hop: HopName, ...suffixes: string[]): object => ({
  suffixes,
  target: { hosts: [{ host: hopHost(hop), port: 2525 }] },
  retry: { initial: "1s", max: "1s" },
});

test("pods: helm install waits until every relay serves a table", { skip, timeout }, () => {
  pods.install();
  const { status } = pods.get("statefulset", `${release}-relay`) as {
    status: { readyReplicas: number };
  };
  assert.equal(status.readyReplicas, 2);
});

test("pods: mail of a pod arrives at the right one of several next hops", {
  skip,
  timeout,
}, async () => {
  pods.route("one", specTo("one", "one.test"));
  pods.route("two", specTo("two", "two.test", "sub.one.test"));
  await pods.until("one", { type: "Ready", says: /^True/ });
  await pods.until("two", { type: "Ready", says: /^True/ });
  await pods.arrives("a@one.test", "one");
  await pods.arrives("b@deep.one.test", "one");
  await pods.arrives("c@sub.one.test", "two");
  await pods.arrives("d@two.test", "two");
});

test("pods: the golden table by real mail", { skip, timeout }, async () => {
  const file = join(import.meta.dirname, "../../crds/examples/golden.yaml");
  const text = readFileSync(file, "utf8");
  const target = `{host: ${hopHost("one")}, port: 2525}`;
  node.kubectl(["apply", "-f", "-"], text.replace("{host: host1.example}", target));
  await pods.until("golden-host1", { type: "Ready", says: /^True/ });
  await pods.until("golden-inbound", { type: "Ready", says: /^True/ });
  await pods.arrives("User@ms.example", "store");
  await pods.arrives("a@sales.ms.example", "one");
  await pods.arrives("a@x.ms.example", "store");
  await pods.arrives("a@abc.x.ms.example", "store");
  pods.send("a@pms.example");
  const log = () => node.kubectl(["logs", "-n", namespace, "-l", relays, "--tail=200"]);
  const goesOut = () => /"to":"a@pms.example","key":"outbound"/.test(log());
  await eventually(goesOut, { msMax: 10_000, what: "a@pms.example goes by MX" });
});

const relays = `app.kubernetes.io/instance=${release},app.kubernetes.io/component=relay`;

test("pods: a conflict, no grant, a missing Secret and a wrong field: each with its words", {
  skip,
  timeout,
}, async () => {
  pods.route("rival", specTo("two", "one.test", "rival.test"));
  await pods.until("rival", { type: "Accepted", says: /^False Conflicted: .*held by mail\/one/ });
  pods.route("stranger", specTo("two", "stranger.test"), "team");
  const refused = /^False NotPermitted: /;
  await pods.until("stranger", { type: "Accepted", says: refused, namespace: "team" });
  const auth = { secretRef: { name: "login" } };
  pods.route("login", { ...specTo("one", "login.test"), tls: { mode: "Verified" }, auth });
  await pods.until("login", { type: "ResolvedRefs", says: /^False .*login/ });
  await pods.until("login", { type: "Programmed", says: /^True/ });
  const unsafe = { ...specTo("one", "unsafe.test"), auth };
  assert.throws(() => pods.route("unsafe", unsafe), /auth.*tls\.mode|tls\.mode.*auth/s);
});

test("pods: a grant of the chart's delegations opens its domain, and not the inside of the cluster", {
  skip,
  timeout,
}, async () => {
  pods.route("orders", specTo("two", "sales.test"), "sales");
  await pods.until("orders", { type: "Ready", says: /^True/, namespace: "sales" });
  await pods.arrives("a@sales.test", "two");
  const target = { hosts: [{ host: "203.0.113.1", port: 443 }] };
  pods.route("inside", { suffixes: ["inside.sales.test"], target }, "sales");
  await pods.until("inside", { type: "Ready", says: /^False/, namespace: "sales" });
});

test("pods: a Secret that is lent reaches the relays, and no ConfigMap", {
  skip,
  timeout,
}, async () => {
  const secret = (password: string): object => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: "login",
      namespace,
      annotations: { "mailroute.dev/hosts": `${hopHost("one")}:2525` },
    },
    stringData: { username: "relay", password },
  });
  pods.apply(secret("first-password"));
  await pods.until("login", { type: "ResolvedRefs", says: /^True/ });
  pods.apply(secret("second-password"));
  const versions = (): number =>
    Object.keys((pods.get("secret", `${release}-credentials`) as { data: object }).data).length;
  await eventually(() => versions() === 2, { msMax: 20_000, what: "both versions are there" });
  const maps = node.kubectl(["get", "configmaps", "-n", namespace, "-o", "yaml"]);
  assert.doesNotMatch(maps, /(first|second)-password/);
});

test("pods: what was answered 250 survives a relay killed in its container", {
  skip,
  timeout,
}, async (context) => {
  pods.route("late", specTo("late", "late.test"));
  await pods.until("late", { type: "Ready", says: /^True/ });
  const recipients = Array.from({ length: 6 }, (_, number) => `u${number}@late.test`);
  for (const to of recipients) pods.send(to);
  if (!(await killed(0))) return context.skip("the node is not ours");
  await killed(1);
  node.kubectl(["scale", "deploy/late", "-n", "hops", "--replicas=1"]);
  node.kubectl(["rollout", "status", "deploy/late", "-n", "hops"]);
  for (const to of recipients) await pods.isAt(to, "late");
});

/** SIGKILL to a relay's first process, and it is back; false where that cannot be done here. */
async function killed(ordinal: number): Promise<boolean> {
  const pod = `${release}-relay-${ordinal}`;
  const container = (): { restartCount: number; ready: boolean } | undefined => {
    const { status } = pods.get("pod", pod) as {
      status: { containerStatuses: { restartCount: number; ready: boolean }[] };
    };
    return status.containerStatuses[0];
  };
  const restarts = container()?.restartCount ?? 0;
  if (!node.kill(namespace, pod)) return false;
  const isBack = (): boolean => {
    const now = container();
    return now?.ready === true && now.restartCount > restarts;
  };
  await eventually(isBack, { msMax: 60_000, what: `${pod} is back` });
  return true;
}

test("pods: a kill, an edit, 2 → 3 → 2 relays, upgrade and rollback lose nothing of a steady load", {
  skip,
  timeout: 600_000,
}, async () => {
  const rules: Rule[] = [{ domain: "load.test", host: "one", fromMs: 0 }];
  pods.route("load", specTo("one", "load.test"));
  await pods.until("load", { type: "Ready", says: /^True/ });
  const load = await pods.load("load.test");
  await killed(0);
  pods.install({ "relay.replicas": 3 });
  await pods.until("load", { type: "Programmed", says: /^True/ });
  rules.push({ domain: "load.test", host: "two", fromMs: Date.now() });
  pods.route("load", specTo("two", "load.test"));
  await pods.until("load", { type: "Programmed", says: /^True/ });
  const programmedMs = Date.now();
  pods.install();
  node.kubectl(["rollout", "restart", `deploy/${release}-operator`, "-n", namespace]);
  pods.install({ "relay.config.limits": { recipientsMax: 500 } });
  node.helm(["rollback", release, "-n", namespace, "--wait", "--timeout", "150s"]);
  await pods.until("load", { type: "Programmed", says: /^True/ });
  const entries = await load.stop();
  const settled = () => report(entries, rules).missing === 0;
  await eventually(settled, { msMax: 60_000, what: "everything has arrived" }).catch(() => {});
  const { sent, answered, duplicates, missingNumbers, wrongArrivals } = report(entries, rules);
  console.log(`load: ${sent} sent, ${answered} answered 250, ${duplicates} arrived twice`);
  assert.ok(answered > 500, String(answered));
  assert.deepEqual(missingNumbers, []);
  assert.deepEqual(wrongArrivals, []);
  assert.ok(duplicates <= 20, String(duplicates)); // what was under way at the kill
  const afterwards = entries.filter(({ sentMs }) => sentMs > programmedMs);
  const late = new Set(afterwards.map(({ number }) => number));
  assert.ok(late.size > 0);
  assert.deepEqual(
    pods.received("one").filter(({ number }) => late.has(number)),
    [],
  );
});

function report(entries: readonly Entry[], rules: readonly Rule[]): ReturnType<typeof reckon> {
  const arrivals = (["one", "two"] as const).flatMap((hop) =>
    pods.received(hop).filter(({ number }) => number >= 0),
  );
  return reckon({ entries, arrivals, rules, slackMs: 5000 });
}

test("pods: helm test sends a message", { skip, timeout }, () => {
  assert.match(node.helm(["test", release, "-n", namespace]), /Succeeded/);
});

test("pods: the roles grant what the code asks for, and nothing else", {
  skip,
  timeout,
}, (context) => {
  const asked = node.audit();
  if (asked === undefined) return context.skip("the API server is not ours");
  for (const role of ["operator", "relay"]) {
    const user = `system:serviceaccount:${namespace}:${release}-${role}`;
    const theirs: readonly Asked[] = asked.filter((each) => each.user.username === user);
    assert.deepEqual(forbidden(theirs), [], role);
    const rules = [pods.get("role", `${release}-${role}`)];
    if (role === "operator")
      rules.push(pods.get("clusterrole", `${namespace}.${release}-operator`));
    // Events tell of keys that have passed after a hold of five minutes: no test waits for one.
    const rest = unused(rules, theirs).filter((each) => each !== "create events.k8s.io/events");
    assert.deepEqual(rest, [], role);
  }
});
