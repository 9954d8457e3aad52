/** The image and the charts on a real node: mail of pods arrives where MailRoutes say, and what is wrong is said. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { valuesOf } from "../../kube/secret-values.ts";
import { eventually } from "../ledger/relay-process.ts";
import { hopHost, specTo } from "./pods.ts";
import { site, skip, timeout } from "./pods-site.ts";

test("pods: an installed chart serves a table from two relays", { skip, timeout }, async () => {
  const { pods, first } = site();
  const ready = ["mailroute-relay-0", "mailroute-relay-1"].map(
    (name) => pods.sightings.relay(`${first.namespace}/${name}`)?.ready,
  );
  assert.deepEqual(ready, [true, true]);
});

test("pods: mail of a pod arrives at the right one of several next hops", {
  skip,
  timeout,
}, async () => {
  const { pods } = site();
  await pods.route("one", specTo("one", "one.test"));
  await pods.route("two", specTo("two", "two.test", "sub.one.test"));
  await pods.until("one", { type: "Ready", says: /^True/ });
  await pods.until("two", { type: "Ready", says: /^True/ });
  await pods.allArrive({
    "a@one.test": "one",
    "b@deep.one.test": "one",
    "c@sub.one.test": "two",
    "d@two.test": "two",
  });
});

test("pods: the golden table by real mail", { skip, timeout }, async () => {
  const { pods, node, first } = site();
  const file = join(import.meta.dirname, "../../crds/examples/golden.yaml");
  const text = readFileSync(file, "utf8");
  const target = `{host: ${hopHost("one")}, port: 2525}`;
  const golden = parseAllDocuments(text.replace("{host: host1.example}", target));
  await pods.routes(...golden.map((each) => each.toJS() as object));
  await pods.until("golden-host1", { type: "Ready", says: /^True/ });
  await pods.until("golden-inbound", { type: "Ready", says: /^True/ });
  await pods.allArrive({
    "User@ms.example": "store",
    "a@sales.ms.example": "one",
    "a@x.ms.example": "store",
    "a@abc.x.ms.example": "store",
  });
  if (node.own !== undefined) return await pods.allArrive({ "a@pms.example": "mx" });
  await pods.send("a@pms.example"); // the cluster's DNS is not ours
  const goesOut = async (): Promise<boolean> =>
    /"to":"a@pms.example","key":"outbound"/.test(await first.logs("relay"));
  await eventually(goesOut, { msMax: 10_000, what: "a@pms.example goes by MX", everyMs: 200 });
});

test("pods: a conflict, no grant, a missing Secret and a wrong field: each with its words", {
  skip,
  timeout,
}, async () => {
  const { pods } = site();
  await pods.route("rival", specTo("two", "one.test", "rival.test"));
  await pods.until("rival", { type: "Accepted", says: /^False Conflicted: .*held by mail\/one/ });
  await pods.route("stranger", specTo("two", "stranger.test"), "team");
  const refused = /^False NotPermitted: /;
  await pods.until("stranger", { type: "Accepted", says: refused, namespace: "team" });
  const auth = { secretRef: { name: "lent" } };
  await pods.route("lent", { ...specTo("one", "lent.test"), tls: { mode: "Verified" }, auth });
  await pods.until("lent", { type: "ResolvedRefs", says: /^False .*lent/ });
  await pods.until("lent", { type: "Programmed", says: /^True/ });
  const unsafe = { ...specTo("one", "unsafe.test"), auth };
  await assert.rejects(pods.route("unsafe", unsafe), /auth.*tls\.mode|tls\.mode.*auth/s);
});

test("pods: a grant of the chart's delegations opens its domain, and not the inside of the cluster", {
  skip,
  timeout,
}, async () => {
  const { pods } = site();
  await pods.route("orders", specTo("two", "sales.test"), "sales");
  await pods.until("orders", { type: "Ready", says: /^True/, namespace: "sales" });
  await pods.allArrive({ "a@sales.test": "two" });
  const target = { hosts: [{ host: "203.0.113.1", port: 443 }] };
  await pods.route("inside", { suffixes: ["inside.sales.test"], target }, "sales");
  await pods.until("inside", { type: "Ready", says: /^False/, namespace: "sales" });
});

test("pods: a Secret that is lent reaches the relays, and no ConfigMap", {
  skip,
  timeout,
}, async () => {
  const { pods, node } = site();
  const annotations = { "mailroute.dev/hosts": `${hopHost("one")}:2525` };
  const secret = (password: string): object => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "lent", namespace: "mail", annotations },
    stringData: { username: "relay", password },
  });
  await pods.apply(secret("first-password"));
  await pods.until("lent", { type: "ResolvedRefs", says: /^True/ });
  await pods.apply(secret("second-password"));
  const lent = async (): Promise<number> => {
    const said = await node.kubectl(["get", "secrets", "-n", "mail", "-o", "json"]);
    const { items } = JSON.parse(said) as { items: { metadata: { name: string } }[] };
    const theirs = items.filter(({ metadata }) => /^mailroute-credentials-/.test(metadata.name));
    const texts = theirs.flatMap((secret) => Object.values(valuesOf(secret)));
    return texts.filter((text) => /(first|second)-password/.test(text)).length;
  };
  const both = async (): Promise<boolean> => (await lent()) === 2;
  await eventually(both, { msMax: 20_000, what: "both versions are there", everyMs: 200 });
  const maps = await node.kubectl(["get", "configmaps", "-n", "mail", "-o", "yaml"]);
  assert.doesNotMatch(maps, /(first|second)-password/);
});

test("pods: what was answered 250 survives a relay killed in its container", {
  skip,
  timeout,
}, async (context) => {
  const { pods, first } = site();
  await pods.route("late", specTo("late", "late.test"));
  await pods.until("late", { type: "Ready", says: /^True/ });
  const recipients = Array.from({ length: 6 }, (_, number) => `u${number}@late.test`);
  // Not through the Service, which might give all of it to the other relay.
  const host = `${first.relay(1)}.${first.name}-relay.${first.namespace}`;
  await Promise.all(recipients.map(async (to) => await pods.send(to, host, 2525)));
  const found = await first.killRelay(1);
  if (found === undefined) return context.skip("the node is not ours");
  assert.ok(found > 0, "some of it was there");
  await pods.scale("late", 1);
  for (const to of recipients) await pods.isAt(to, "late");
});

const leftRetry = { initial: "1s", max: "1s" };

/** Messages that no host takes, at the second relay. */
async function leaveAt1(recipients: readonly string[]): Promise<void> {
  const { pods, first } = site();
  const hosts = [{ host: hopHost("one"), port: 2599 }];
  await pods.route("left", { suffixes: ["left.test"], target: { hosts }, retry: leftRetry });
  await pods.until("left", { type: "Ready", says: /^True/ });
  const host = `${first.relay(1)}.${first.name}-relay.${first.namespace}`;
  for (const to of recipients) await pods.send(to, host, 2525);
}

/** The other relay has them, the claim of the one that is gone goes, and they arrive. */
async function areTakenOver(recipients: readonly string[]): Promise<void> {
  const { pods, first } = site();
  const waiting = async (): Promise<boolean> =>
    (await first.queue(0, "list", "--domain", "left.test", "--json")).length === recipients.length;
  await eventually(waiting, { msMax: 90_000, what: "they are at the other", everyMs: 1000 });
  const isAlone = async (): Promise<boolean> => String(await first.claims()) === "0";
  await eventually(isAlone, { msMax: 90_000, what: "the claim is gone", everyMs: 1000 });
  await pods.route("left", specTo("one", "left.test"));
  for (const to of recipients) await pods.isAt(to, "one");
}

test("pods: a relay that is scaled away hands its queue to one that stays", {
  skip,
  timeout,
}, async () => {
  const { first } = site();
  const recipients = ["u0@left.test", "u1@left.test", "u2@left.test"];
  await leaveAt1(recipients);
  await first.scaleRelays(1);
  const waiting = await first.queue(0, "list", "--domain", "left.test", "--json");
  assert.equal(waiting.length, recipients.length, "they are at the other");
  await areTakenOver(recipients);
  await first.scaleRelays(2);
});

test("pods: what a relay that was killed had not handed over is drained from its claim, and the claim goes", {
  skip,
  timeout,
}, async () => {
  const { node, pods, first } = site();
  const recipients = ["u3@left.test", "u4@left.test", "u5@left.test"];
  await leaveAt1(recipients);
  const address = pods.sightings.relay(`${first.namespace}/${first.relay(1)}`)?.address;
  const startedMs = Date.now();
  await first.cutRelays(1);
  await areTakenOver(recipients);
  if (node.own !== undefined) {
    const from = await first.takenOver(startedMs);
    assert.equal(from.length, recipients.length);
    assert.ok(address !== undefined && !from.includes(address), "a Job's pod handed them over");
  }
  await first.scaleRelays(2);
});
