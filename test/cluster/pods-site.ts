/**
 * What all pod tests of a run share: one node, the chart installed twice, next hops. Files that run in one process
 * (--test-isolation=none) share it; each alone has its own. It is prepared before the first test, and the first
 * failure is told of with the cluster's own words.
 */
import { join } from "node:path";
import { after, afterEach, before } from "node:test";
import { type ClusterNode, startNode } from "./node.ts";
import { hopHost, Pods } from "./pods.ts";
import { Release } from "./release.ts";
import { hopsNamespace } from "./workloads.ts";

export type Site = {
  readonly node: ClusterNode;
  readonly pods: Pods;
  /** "mailroute" in namespace mail, class default. */
  readonly first: Release;
  /** "second" in namespace mail-two, class second. */
  readonly second: Release;
};

const crds = join(import.meta.dirname, "../../charts/mailroute-crds");
/** The node's own address and its Services, of RFC 5737. */
const deniedNetworks = ["203.0.113.0/24", "192.0.2.1/32"];
const restricted = { "pod-security.kubernetes.io/enforce": "restricted" };

const found = await startNode();
const all: Site | undefined = "missing" in found ? undefined : siteOn(found);
/** Why there is no cluster here; under CI that is no reason, and every test fails with it. */
export const skip = "missing" in found && process.env["CI"] !== "true" ? found.missing : false;
export const timeout = 300_000;
let isTold = false;

export function site(): Site {
  if (all === undefined) throw new Error("missing" in found ? found.missing : "no node");
  return all;
}

function siteOn(node: ClusterNode): Site {
  const first = new Release({
    node,
    name: "mailroute",
    namespace: "mail",
    values: {
      deniedNetworks,
      delegations: [
        {
          name: "sales",
          namespaces: { selector: { matchLabels: { team: "sales" } } },
          suffixes: ["sales.test"],
          targets: { hosts: [{ host: `*.${hopsNamespace}.svc.cluster.local` }] },
        },
      ],
      "relay.config.inbound": { hosts: [{ host: hopHost("store"), port: 2525 }] },
    },
  });
  const second = new Release({
    node,
    name: "second",
    namespace: "mail-two",
    values: {
      deniedNetworks,
      className: "second",
      hostname: "relay.second.test",
      "relay.replicas": 1,
      "operator.replicas": 1,
    },
  });
  return { node, pods: new Pods(node), first, second };
}

before(async () => {
  if (skip !== false) return;
  const { node, pods, first, second } = site();
  const namespaces = [
    ["mail", restricted],
    ["mail-two", restricted],
    [hopsNamespace, restricted],
    ["team", {}],
    ["sales", { team: "sales" }],
  ] as const;
  await pods.apply(
    ...namespaces.map(([name, labels]) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels },
    })),
  );
  await node.helm(["install", "mailroute-crds", crds, "--wait"]);
  await Promise.all([pods.prepare(), first.install(), second.install()]);
});

afterEach(async (context) => {
  if (!("passed" in context) || context.passed === true || isTold || all === undefined) return;
  isTold = true;
  console.error(await all.pods.words());
});

after(() => all?.pods.close());
