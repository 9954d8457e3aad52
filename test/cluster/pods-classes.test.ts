/** Two installations in one cluster, of two classes in two namespaces: neither knows of the other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { reckon } from "../ledger/reckoning.ts";
import { eventually } from "../ledger/relay-process.ts";
import { writes } from "./grants.ts";
import { specTo } from "./pods.ts";
import { site, skip, timeout } from "./pods-site.ts";

const theirs = { className: "second" };

test("pods: each of two installations serves the MailRoutes of its own class", {
  skip,
  timeout,
}, async () => {
  const { pods, node, first, second } = site();
  await pods.route("shared", specTo("one", "shared.test"));
  await pods.route("shared", { ...theirs, ...specTo("two", "shared.test") }, second.namespace);
  await pods.route("other", { ...theirs, ...specTo("two", "other.test") }, second.namespace);
  await pods.until("shared", { type: "Ready", says: /^True/ });
  for (const name of ["shared", "other"])
    await pods.until(name, { type: "Ready", says: /^True/, namespace: second.namespace });
  await pods.allArrive({ "a@shared.test": "one" }, first.host);
  await pods.allArrive({ "b@shared.test": "two", "c@other.test": "two" }, second.host);
  if (node.own !== undefined) await pods.allArrive({ "d@other.test": "mx" }, first.host);
});

test("pods: an installation writes no status and no object of another's", {
  skip,
  timeout,
}, async (context) => {
  const { pods, node, first, second } = site();
  if (node.own === undefined) return context.skip("the API server is not ours");
  // Of the second's class where only the first may claim anything: the second says so, and the first is silent.
  await pods.route("guest", { ...theirs, ...specTo("two", "guest.test") });
  await pods.until("guest", { type: "Accepted", says: /^False NotPermitted/ });
  const asked = node.own.audit();
  const theirRoutes = new Set(["mail/guest", "mail-two/shared", "mail-two/other"]);
  for (const { name, namespace } of [first, second]) {
    const user = `system:serviceaccount:${namespace}:${name}-operator`;
    const written = writes(asked.filter((each) => each.user.username === user));
    const of = (resource: RegExp): readonly string[] =>
      written.filter((each) => resource.test(each.resource)).map(({ id }) => id);
    const statuses = of(/^mailroutes\/status$/);
    assert.ok(statuses.length > 0);
    for (const id of statuses) assert.equal(theirRoutes.has(id), name === second.name, id);
    const objects = of(/^(configmaps|secrets|leases|jobs)$/);
    assert.ok(objects.length > 0);
    for (const id of objects) assert.ok(id.startsWith(`${namespace}/${name}-`), id);
    const grants = of(/^mailgrants\/status$/);
    for (const id of grants) assert.ok(id.startsWith(`/${namespace}.${name}.`), id);
    const events = of(/^events$/);
    const known = statuses.length + objects.length + grants.length + events.length;
    assert.equal(written.length, known);
  }
});

test("pods: uninstalling one installation leaves the other and its mail", {
  skip,
  timeout,
}, async () => {
  const { pods, node, first, second } = site();
  const published = () =>
    pods.sightings.all("table").filter(({ installation }) => installation === first.id);
  const containers = async (): Promise<string> => {
    const jsonPath = "jsonpath={range .items[*]}{.metadata.uid} {.status..restartCount}{' '}{end}";
    return await node.kubectl(["get", "pods", "-n", first.namespace, "-o", jsonPath]);
  };
  const before = { table: published().at(-1)?.digest, containers: await containers() };
  const domains = ["shared.test"];
  const load = await pods.load({ name: "load", host: first.host, messagesPerSecond: 20, domains });
  await second.uninstall();
  const entries = await load.stop();
  const rules = [{ domain: "shared.test", host: "one", fromMs: 0 }];
  const books = async () =>
    reckon({ entries, arrivals: await pods.arrivals(entries), rules, slackMs: 0 });
  const settled = async (): Promise<boolean> => (await books()).missing === 0;
  await eventually(settled, { msMax: 30_000, what: "all has arrived", everyMs: 500 });
  const { sent, answered, duplicates, wrongHost } = await books();
  assert.ok(sent > 20, String(sent));
  assert.deepEqual(
    { answered, duplicates, wrongHost },
    { answered: sent, duplicates: 0, wrongHost: 0 },
  );
  assert.deepEqual({ table: published().at(-1)?.digest, containers: await containers() }, before);
  assert.match(pods.condition("mail/shared", "Ready") ?? "", /^True/);
  const isGone = async (): Promise<boolean> =>
    (await node.kubectl(["get", "deploy,sts,svc,pods", "-n", second.namespace])) === "";
  await eventually(isGone, { msMax: 60_000, what: "nothing of it runs", everyMs: 500 });
  await pods.allArrive({ "e@shared.test": "one" }, first.host);
});
