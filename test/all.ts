/**
 * `npm test`: the check, then the tests. Arguments are passed on to Node's test runner. Those that need a whole
 * Kubernetes node, as root, are apart: `npm run test:cluster`.
 */
import { runSteps } from "./run.ts";

const args = process.argv.slice(2);
const files = [
  "routing/**/*.test.ts",
  "relay/**/*.test.ts",
  "operator/**/*.test.ts",
  "kube/**/*.test.ts",
  "cli/**/*.test.ts",
  "crds/**/*.test.ts",
  "test/{acceptance,bench,fuzz,ledger,peers}/**/*.test.ts",
  "test/cluster/{operator,statuses}.test.ts",
];

process.exitCode = runSteps([
  { name: "check", command: process.execPath, args: ["test/check.ts"] },
  {
    name: "tests",
    command: process.execPath,
    args: ["--test", "--test-concurrency=1", ...args, ...files],
  },
]);
