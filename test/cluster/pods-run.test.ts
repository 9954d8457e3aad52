/**
 * The skeleton run: one steady load for all of these tests, and beneath it everything that must not cost a message,
 * nor send one to a wrong host, nor let one out by MX. The tests are steps of one run and stand in its order.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { eventually } from "../ledger/relay-process.ts";
import { median, returned, takenMs } from "./books.ts";
import { makeCertificate } from "./certificate.ts";
import type { OwnNode } from "./own-node.ts";
import { hopHost, type Pods } from "./pods.ts";
import { site, skip, timeout } from "./pods-site.ts";
import type { Release } from "./release.ts";
import { lentSecret, locked, lockedSpec, Run } from "./run.ts";

const outageMs = 120_000;
const password = "a-long-password";

let run: Run;
let pods: Pods;
let release: Release;
/** Connections and messages at the mail exchanger that the test itself has caused. */
let goneOut = 0;
let stopped: { readonly pod: string; readonly pid: number; readonly atMs: number };

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const seconds = (ms: number): string => (ms / 1000).toFixed(1);

/** Where the node is not ours, signals, outages and DNS are not ours either: the run is for our own. */
function ownNode(): OwnNode {
  const { own } = site().node;
  if (own === undefined) throw new Error("the node is not ours");
  return own;
}

const isForeign = process.env["MAILROUTE_TEST_KUBECONFIG"] !== undefined;

function step(title: string, body: () => Promise<void>): void {
  test(`run: ${title}`, { skip: isForeign ? "the node is not ours" : skip, timeout }, body);
}

/** Nothing has gone to the Internet but what the test itself has sent there. */
async function nothingGoesOut(): Promise<void> {
  assert.equal(await pods.traffic("mx"), goneOut);
}

/** Somebody trusted sends to a domain that nobody routes: the exchanger sees it, or it would see nothing else. */
async function goesOut(to: string): Promise<void> {
  await pods.allArrive({ [to]: "mx" });
  const traffic = await pods.traffic("mx");
  assert.ok(traffic > goneOut);
  goneOut = traffic;
}

step("mail for an unrouted domain is seen at the mail exchanger, and the load begins", async () => {
  ({ pods, first: release } = site());
  run = new Run(pods, release);
  const { certificate, key } = await makeCertificate(hopHost("login"));
  await pods.apply(lentSecret("locked-authority", { "ca.crt": certificate }));
  await pods.apply(lentSecret("locked-login", { username: "relay", password }));
  const data = { "tls.crt": certificate, "tls.key": key, password };
  const metadata = { name: "login", namespace: "hops" };
  await pods.apply({ apiVersion: "v1", kind: "Secret", metadata, stringData: data });
  await pods.hop({ name: "login", args: ["cluster/pod-login-sink.ts"], secret: "login" });
  await pods.route("locked", lockedSpec);
  goneOut = await pods.traffic("mx");
  await goesOut("first@unrouted.test");
  await run.begin();
});

step("nothing follows the old target once the new one is Programmed", async () => {
  for (let change = 0; change < 10; change++) await run.moveOn();
  const last = run.moves.slice(-10);
  await sleep(2000);
  const entries = await run.load.entries();
  const arrivals = await pods.arrivals(entries);
  const taken = last.map((move) => takenMs(move, entries, arrivals) ?? Number.NaN);
  const stored = last.map(({ appliedMs, storedMs }) => storedMs - appliedMs);
  const programmed = last.map(({ appliedMs, programmedMs }) => programmedMs - appliedMs);
  console.log(
    `run: from kubectl apply to the first message at the new host ${median(taken)} ms ` +
      `(median of ${taken.join(" ")}), of which to the API server ${median(stored)} ms; ` +
      `to Programmed=True ${median(programmed)} ms`,
  );
  assert.ok(taken.every((ms) => ms > 0));
  await run.check({ settleMs: 30_000 });
});

step("where the leading operator is stopped, another takes over", async () => {
  const pod = await release.leader();
  const pid = await ownNode().pid(release.namespace, pod);
  // An edit that the leader may be in the middle of.
  const edit = run.moveOn();
  await sleep(150);
  process.kill(pid, "SIGSTOP");
  stopped = { pod, pid, atMs: Date.now() };
  await edit;
  const isTaken = async (): Promise<boolean> => (await release.leader()) !== pod;
  await eventually(isTaken, { msMax: 60_000, what: "another leads", everyMs: 500 });
  console.log(`run: another operator leads after ${seconds(Date.now() - stopped.atMs)} s`);
  await run.moveOn();
});

// While the first leader is stopped: the kubelet ends what does not answer its probes, after 55 s at the earliest.
step("while its Secret is gone, a route's mail waits and goes no wider way", async () => {
  await pods.until("locked", { type: "Ready", says: /^True/ });
  const { kubectl } = site().node;
  const before = run.standing();
  await kubectl(["delete", "secret", "locked-login", "-n", release.namespace]);
  await pods.until("locked", { type: "ResolvedRefs", says: /^False/ });
  await run.served({ after: before });
  const goneMs = Date.now();
  await sleep(5000);
  const backMs = Date.now();
  await pods.apply(lentSecret("locked-login", { username: "relay", password }));
  await pods.until("locked", { type: "Ready", says: /^True/ });
  const sent = (await run.load.entries()).filter(
    ({ domain, sentMs }) => domain === locked && sentMs > goneMs && sentMs < backMs,
  );
  assert.ok(sent.length > 0);
  assert.ok(
    sent.every(({ answered }) => answered),
    "trusted mail is taken, and waits",
  );
  const all = async (): Promise<boolean> => (await pods.arrivals(sent)).length >= sent.length;
  await eventually(all, { msMax: 30_000, what: "what has waited arrives", everyMs: 500 });
  for (const { host, atMs } of await pods.arrivals(sent)) {
    assert.equal(host, "login");
    assert.ok(atMs > backMs);
  }
  await nothingGoesOut();
});

step("an operator that goes on after a while puts no old table back", async () => {
  const before = run.standing();
  const container = await release.container(stopped.pod);
  process.kill(stopped.pid, "SIGCONT");
  console.log(`run: the operator was stopped for ${seconds(Date.now() - stopped.atMs)} s`);
  await release.isBack(stopped.pod, container); // it has lost the lease, ended, and was started again
  await sleep(2000);
  assert.equal(run.standing(), before);
  assert.deepEqual(returned(run.tables()), []);
  assert.notEqual(await release.leader(), stopped.pod);
  await run.moveOn();
  await run.check({ settleMs: 30_000 });
});

step("a relay is killed in its container", async () => {
  run.inFlight += (await release.killRelay(0)) ?? 0;
  await run.check({ settleMs: 30_000 });
});

step("mail flows on without the API server, also through a relay that starts then", async () => {
  const own = ownNode();
  const relay = release.relay(1);
  const id = `${release.namespace}/${relay}`;
  const address = pods.sightings.relay(id)?.address ?? "";
  const clientPod = await site().node.kubectl([
    ...["get", "pods", "-n", "hops", "-l", "app=client"],
    ...["-o", "jsonpath={.items[0].metadata.name}"],
  ]);
  const client = await own.pid("hops", clientPod);
  const killed = await own.pid(release.namespace, relay);
  const before = await release.container(relay);
  const send = async (to: string): Promise<string> => {
    const main = join(import.meta.dirname, "../../cli/main.ts");
    const args = ["send", "--host", address, "--port", "2525", "--to", to];
    return await own.run([process.execPath, main, ...args], client);
  };
  const resume = await own.outage();
  const startedMs = Date.now();
  let endedMs = startedMs;
  try {
    process.kill(killed, "SIGKILL");
    const stale = () => run.answers().find((each) => each.id === id && each.stale);
    const what = (): string => `${relay} serves its copy`;
    const { atMs } = await pods.sightings.until(stale, { msMax: 110_000, what });
    console.log(
      `run: a relay killed without the API server is back in ${seconds(atMs - startedMs)} s`,
    );
    await send("copy@fixed-0.test");
    await assert.rejects(send("copy@unrouted.test"), /451 4\.3\.0/);
    await sleep(Math.max(startedMs + outageMs - Date.now(), 0));
  } finally {
    endedMs = Date.now();
    await resume();
  }
  const fresh = () =>
    run.answers().find((each) => each.id === id && each.atMs > endedMs && !each.stale);
  await pods.sightings.until(fresh, { msMax: 120_000, what: () => `${relay} is current again` });
  await release.isBack(relay, before);
  run.inFlight += await release.queuedAtStart(relay);
  await run.moveOn();
  console.log(
    `run: after an outage a changed target counts again ${seconds(Date.now() - endedMs)} s later`,
  );
  await pods.isAt("copy@fixed-0.test", "one");
  const during = (await run.load.entries()).filter(
    ({ sentMs, answered }) => answered && sentMs > startedMs && sentMs < endedMs,
  );
  const meanwhile = (await pods.arrivals(during)).filter(({ atMs: thereMs }) => thereMs < endedMs);
  console.log(
    `run: ${during.length} answered without the API server, ${meanwhile.length} delivered`,
  );
  assert.ok(meanwhile.length > 1000, String(meanwhile.length));
  await run.check({ settleMs: 60_000 });
  await nothingGoesOut();
});

step("a deleted CRD takes all MailRoutes along, and no mail goes another way", async () => {
  const { kubectl, helm } = site().node;
  const standing = run.tables().length - 1;
  const holds = async (): Promise<void> => {
    const digests = run
      .tables()
      .slice(standing)
      .map(({ digest }) => digest);
    assert.equal(new Set(digests).size, 1, "the guard holds the table");
    await nothingGoesOut();
  };
  const sentBefore = (await run.load.entries()).length;
  await kubectl(["delete", "crd", "mailroutes.mailroute.dev"]);
  await sleep(5000);
  assert.ok((await run.load.entries()).length > sentBefore);
  assert.equal(pods.sightings.route("mail/moving"), undefined);
  await holds();
  const chart = join(import.meta.dirname, "../../charts/mailroute-crds");
  await helm(["upgrade", "mailroute-crds", chart, "--wait"]);
  const startedMs = Date.now();
  // Piece by piece, as people and tools do it: the last few are missing for a while.
  const all = pods.applied;
  await pods.routes(...all.slice(0, -4));
  await pods.until("wide", { type: "Accepted", says: /^True/ });
  await sleep(2000);
  await holds();
  await pods.routes(...all.slice(-4));
  await run.allReady();
  console.log(`run: all routes are Ready again ${seconds(Date.now() - startedMs)} s later`);
  await run.check({ settleMs: 30_000 });
  await nothingGoesOut();
});

step("2 → 4 → 2 relays, an upgrade and a rollback", async () => {
  await release.install({ "relay.replicas": 4 });
  await run.moveOn();
  await release.install();
  await run.moveOn();
  await release.install({ "relay.config.limits": { recipientsMax: 500 } });
  await run.moveOn();
  await release.rollback();
  await run.moveOn();
  await run.check({ settleMs: 60_000 });
});

step("nothing is missing, nothing was at a wrong host, nothing has gone out", async () => {
  const entries = await run.load.stop();
  const { answered, missing, wrongHost, duplicates } = await run.check({ settleMs: 60_000 });
  console.log(
    `run: ${entries.length} sent, ${answered} answered 250, ${missing} missing, ${wrongHost} at a wrong host, ` +
      `${duplicates} twice of ${run.inFlight} in flight at kills`,
  );
  assert.ok(answered > 5000, String(answered));
  await nothingGoesOut();
  await goesOut("last@unrouted.test");
});
