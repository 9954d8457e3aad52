/**
 * `npm run test:cycles [-- --cycles N]`: on a real one-node Kubernetes, N (50) times 3 relays, then 1, then 3, under the
 * ledger. Prints a line for each cycle and what all of them came to; exit 1 where anything is missing, at a wrong host,
 * or twice without a reason. Needs root and Go, as the pod tests do.
 */
import { join } from "node:path";
import { optionsOf } from "../options.ts";
import { Cycles, manners, shownCycle, shownTotal } from "./cycles.ts";
import { type ClusterNode, startNode } from "./node.ts";
import { Pods } from "./pods.ts";
import { Release } from "./release.ts";
import { hopsNamespace } from "./workloads.ts";

const volumesBeside = 8;
const crds = join(import.meta.dirname, "../../charts/mailroute-crds");

const values = optionsOf(import.meta.filename, { cycles: { type: "string", default: "50" } });
const count = Number(values.cycles);
if (!(Number.isInteger(count) && count >= 1 && count <= 500))
  throw new RangeError("--cycles must be 1 to 500");
const node = await startNode({ volumes: 2 * count + volumesBeside });
if ("missing" in node) {
  console.error(node.missing);
  process.exit(1);
}
process.exit(await runCycles(node));

async function runCycles(cluster: ClusterNode): Promise<number> {
  const pods = new Pods(cluster);
  const release = new Release({ node: cluster, name: "mailroute", namespace: "mail", values: {} });
  const cycles = new Cycles(pods, release);
  try {
    await pods.apply(
      ...["mail", hopsNamespace].map((name) => ({
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name },
      })),
    );
    await cluster.helm(["install", "mailroute-crds", crds, "--wait"]);
    await Promise.all([pods.prepare(), release.install()]);
    await cycles.begin();
    for (let number = 1; number <= count; number += 1) {
      const manner = manners[(number - 1) % manners.length] ?? "left";
      console.log(shownCycle(number, await cycles.turn(manner)));
    }
    const total = await cycles.end();
    console.log(shownTotal(total));
    const { missing, wrongHost, unexplained, missingNumbers, wrongArrivals } = total;
    if (missing + wrongHost + unexplained.length === 0) return 0;
    console.log(JSON.stringify({ missingNumbers, wrongArrivals, unexplained }));
  } catch (error) {
    console.error(error);
  }
  console.error(await pods.words());
  return 1;
}
