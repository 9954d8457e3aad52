/** `npm test`: the check, then every test. Arguments are passed on to Node's test runner. */
import { runSteps } from "./run.ts";

const args = process.argv.slice(2);
const files = [
  "routing/**/*.test.ts",
  "relay/**/*.test.ts",
  "operator/**/*.test.ts",
  "kube/**/*.test.ts",
  "cli/**/*.test.ts",
  "crds/**/*.test.ts",
  "test/**/*.test.ts",
];

process.exitCode = runSteps([
  { name: "check", command: process.execPath, args: ["test/check.ts"] },
  {
    name: "tests",
    command: process.execPath,
    args: ["--test", "--test-concurrency=1", ...args, ...files],
  },
]);
