/** The last file of pod tests: what everything before has asked of the API server, beside what the chart grants. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { forbidden, unused } from "./grants.ts";
import { site, skip, timeout } from "./pods-site.ts";

test("pods: helm test sends a message", { skip, timeout }, async () => {
  assert.match(await site().first.test(), /Succeeded/);
});

/** Events tell of changes that need not come, and a lease is given up where it is the leader who is stopped. */
const byChance = /^create events\.k8s\.io\/events$|^patch coordination\.k8s\.io\/leases /;

test("pods: the roles grant what the code asks for, and nothing else", {
  skip,
  timeout,
}, async (context) => {
  const { node, first } = site();
  if (node.own === undefined) return context.skip("the API server is not ours");
  const asked = node.own.audit();
  const get = async (kind: string, name: string): Promise<unknown> =>
    JSON.parse(await node.kubectl(["get", kind, name, "-n", first.namespace, "-o", "json"]));
  for (const role of ["operator", "relay", "drain"]) {
    const user = `system:serviceaccount:${first.namespace}:${first.name}-${role}`;
    const theirs = asked.filter((each) => each.user.username === user);
    assert.deepEqual(forbidden(theirs), [], role);
    const rules = [await get("role", `${first.name}-${role}`)];
    if (role === "operator")
      rules.push(await get("clusterrole", `${first.namespace}.${first.name}-operator`));
    const rest = unused(rules, theirs).filter((each) => !byChance.test(each));
    assert.deepEqual(rest, [], role);
  }
});
