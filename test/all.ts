/**
 * `npm test`: the check and the tests, and beside them those that need a whole Kubernetes node, which mostly wait.
 * Arguments are passed on to Node's test runner.
 */
import { join } from "node:path";
import { conclude, runAside, runSteps } from "./run.ts";

const args = ["--test-timeout=600000", ...process.argv.slice(2)];
const node = process.execPath;
const leftovers = join(import.meta.dirname, "leftovers.ts");
const files = [
  "routing/**/*.test.ts",
  "relay/**/*.test.ts",
  "operator/**/*.test.ts",
  "kube/**/*.test.ts",
  "cli/**/*.test.ts",
  "crds/**/*.test.ts",
  "test/{acceptance,bench,faults,fuzz,ledger,peers}/**/*.test.ts",
  "test/cluster/!(pods-*).test.ts",
];
/** One process, as all of them share one node. First of all it builds what is missing. */
const pods = ["--test", "--test-isolation=none", ...args, "test/cluster/pods-*.test.ts"];

const podsEnded = runAside({ name: "tests with pods", command: node, args: pods });
const failed = await runSteps([
  { name: "check", command: node, args: ["test/check.ts"] },
  {
    name: "tests",
    command: node,
    args: ["--import", leftovers, "--test", "--test-concurrency=1", ...args, ...files],
  },
]);
conclude([...failed, ...(await podsEnded())]);
