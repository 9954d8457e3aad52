/**
 * `npm test`: the check and the tests, and beside them those that need a whole Kubernetes node, which mostly wait.
 * Arguments are passed on to Node's test runner. Under CI, files with a test that failed are run once more: two lanes
 * of real servers share the machine, and what fails once may be its doing; what fails twice is ours.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { endLine } from "./failed-files.ts";
import { conclude, runAside, runSteps, type Step } from "./run.ts";

const args = ["--test-timeout=600000", ...process.argv.slice(2)];
const node = process.execPath;
const leftovers = join(import.meta.dirname, "leftovers.ts");
const reporter = join(import.meta.dirname, "failed-files.ts");
const runsFailedAgain = process.env["CI"] === "true";
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
const pods: Step = {
  name: "tests with pods",
  command: node,
  args: ["--test", "--test-isolation=none", ...args, "test/cluster/pods-*.test.ts"],
};

async function runTests(): Promise<readonly string[]> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-failed-"));
  const destination = join(directory, "files");
  const reporters = [
    ...["--test-reporter=spec", "--test-reporter-destination=stdout"],
    ...[`--test-reporter=${reporter}`, `--test-reporter-destination=${destination}`],
  ];
  const told = runsFailedAgain ? reporters : [];
  const common = ["--import", leftovers, "--test", "--test-concurrency=1", ...args, ...told];
  const step: Step = { name: "tests", command: node, args: [...common, ...files] };
  try {
    const failed = await runSteps([step]);
    const again = runsFailedAgain && failed.length > 0 ? failedFilesIn(destination) : undefined;
    if (again === undefined) return failed;
    return await runSteps([{ ...step, name: "tests, once more", args: [...common, ...again] }]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Undefined where not all were told, as the runner itself has ended early, or where one cannot be run by itself. */
function failedFilesIn(path: string): readonly string[] | undefined {
  const lines = existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : [];
  if (lines.pop() !== endLine) return undefined;
  return lines.length > 0 && lines.every((each) => each.endsWith(".test.ts")) ? lines : undefined;
}

const podsEnded = runAside(pods);
const failed = [
  ...(await runSteps([{ name: "check", command: node, args: ["test/check.ts"] }])),
  ...(await runTests()),
];
const podsFailed = await podsEnded();
const podsFailedAgain =
  podsFailed.length > 0 && runsFailedAgain
    ? await runSteps([{ ...pods, name: `${pods.name}, once more` }])
    : podsFailed;
conclude([...failed, ...podsFailedAgain]);
