/**
 * A real one-node Kubernetes for tests: programs built once into the user's cache, started in a network namespace
 * of its own, stopped by the pids that were started. MAILROUTE_TEST_KUBECONFIG and MAILROUTE_TEST_IMAGE name a
 * cluster, and an image that it can pull, to be used instead.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

export type ClusterNode = {
  /** repository:tag of the image under test, which the node has. */
  readonly image: string;
  /** The answer is what it printed. Throws with its words where it fails. */
  kubectl(args: readonly string[], input?: string): string;
  helm(args: readonly string[]): string;
  /** Not waited for: for `exec` and `logs` that go on. */
  start(args: readonly string[]): ChildProcess;
  /** SIGKILL to a pod's first process; false where the node is not ours. */
  kill(namespace: string, pod: string): boolean;
  /** What ServiceAccounts have asked of the API server; undefined where it is not ours. */
  audit(): readonly Asked[] | undefined;
  stop(): void;
};

export type Asked = {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  readonly annotations?: Readonly<Record<string, string>>;
};

const programs = [
  ...["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"],
  ...["kube-proxy", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr", "coredns"],
  ...["helm", "pause"],
];
const commandMsMax = 180_000;
const buildMsMax = 30 * 60_000;
const imageName = "mailroute.test/mailroute:test";
const here = import.meta.dirname;

/** Or the reason why there is none here. With CI=true that is for the caller to fail on. */
export function startNode(): ClusterNode | { readonly missing: string } {
  const kubeconfig = process.env["MAILROUTE_TEST_KUBECONFIG"];
  if (kubeconfig !== undefined) return foreign(kubeconfig);
  const missing = missingHere();
  if (missing !== undefined) return { missing };
  const cache = join(
    process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
    "mailroute/cluster",
  );
  try {
    script("packages.sh", []);
    const bin = join(cache, "bin");
    const absent = programs.filter((each) => !existsSync(join(bin, each)));
    if (absent.length > 0) script("build.sh", [cache, ...absent]);
    return own(cache, bin);
  } catch (error) {
    return { missing: (error as Error).message };
  }
}

function missingHere(): string | undefined {
  if (process.platform !== "linux") return "a Kubernetes node needs Linux";
  if (process.getuid?.() !== 0) return "a Kubernetes node needs root";
  if (spawnSync("go", ["version"]).status !== 0) return "Go is needed to build Kubernetes";
  if (spawnSync("npm", ["--version"]).status !== 0) return "npm is needed to build the image";
  return undefined;
}

function foreign(kubeconfig: string): ClusterNode | { readonly missing: string } {
  const image = process.env["MAILROUTE_TEST_IMAGE"];
  if (image === undefined) return { missing: "MAILROUTE_TEST_IMAGE names no image to test" };
  const prefix = ["env", `KUBECONFIG=${kubeconfig}`];
  return { ...commands(prefix), image, kill: () => false, audit: () => undefined, stop() {} };
}

function own(cache: string, bin: string): ClusterNode {
  const state = mkdtempSync(join(tmpdir(), "mailroute-node-"));
  const name = `mailroute-${process.pid}`;
  const stop = (): void => script("down.sh", [state, name]);
  // Also where the test run is interrupted.
  process.once("exit", stop);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  const archive = join(state, "image.tar");
  script("image.sh", [cache, imageName, archive]);
  script("up.sh", [bin, state, name]);
  const ctr = ["-a", `/run/${name}/containerd.sock`, "-n", "k8s.io", "images", "import", archive];
  run(join(bin, "ctr"), ctr);
  const kubeconfig = join(state, "pki/admin.conf");
  const path = `PATH=${bin}:${process.env["PATH"] ?? ""}`;
  const all = commands([
    ...["nsenter", `--net=/run/netns/${name}`],
    ...["env", path, `KUBECONFIG=${kubeconfig}`],
  ]);
  return {
    ...all,
    image: imageName,
    kill(namespace, pod) {
      const jsonPath = "jsonpath={.status.containerStatuses[0].containerID}";
      const id = all.kubectl(["get", "pod", "-n", namespace, pod, "-o", jsonPath]);
      const task = `/run/${name}/containerd/io.containerd.runtime.v2.task/k8s.io`;
      const file = join(task, id.replace("containerd://", ""), "init.pid");
      return process.kill(Number(readFileSync(file, "utf8")), "SIGKILL");
    },
    audit() {
      const text = readFileSync(join(state, "log/audit.json"), "utf8");
      return text
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Asked);
    },
    stop() {
      process.off("exit", stop);
      stop();
    },
  };
}

function commands(prefix: readonly string[]): Pick<ClusterNode, "kubectl" | "helm" | "start"> {
  const [program = "", ...first] = prefix;
  return {
    kubectl: (args, input) => run(program, [...first, "kubectl", ...args], input),
    helm: (args) => run(program, [...first, "helm", ...args]),
    start: (args) =>
      spawn(program, [...first, "kubectl", ...args], { stdio: ["pipe", "pipe", "inherit"] }),
  };
}

function run(program: string, args: readonly string[], input = ""): string {
  const options = {
    encoding: "utf8",
    input,
    timeout: commandMsMax,
    maxBuffer: 256 * 1024 * 1024,
  } as const;
  const { status, stdout, stderr, error } = spawnSync(program, [...args], options);
  if (status === 0) return stdout;
  const shown = args.slice(args.findIndex((each) => each === "kubectl" || each === "helm"));
  throw new Error(`${shown.join(" ")}: ${stderr || stdout || (error?.message ?? "")}`);
}

function script(name: string, args: readonly string[]): void {
  const { status, error } = spawnSync(join(here, name), [...args], {
    stdio: ["ignore", "inherit", "inherit"],
    timeout: buildMsMax,
  });
  if (status !== 0) throw new Error(`test/cluster/${name} failed ${error?.message ?? ""}`);
}
