/**
 * A real one-node Kubernetes for tests: programs built once into the user's cache, started in a network namespace
 * of its own, stopped by the pids that were started. MAILROUTE_TEST_KUBECONFIG and MAILROUTE_TEST_IMAGE name a
 * cluster, and an image that it can pull, to be used instead.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { OwnNode } from "./own-node.ts";
import { run, runScript } from "./programs.ts";

export type ClusterNode = {
  /** repository:tag of the image under test, which the node has. */
  readonly image: string;
  /** The answer is what it printed. Rejects with its words where it fails. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  helm(args: readonly string[]): Promise<string>;
  /** A program that talks to the cluster: not waited for, its output is a pipe. */
  start(program: string, args: readonly string[]): ChildProcess;
  /** What can be done to a node only from outside of it; undefined where it is not ours. */
  readonly own: OwnNode | undefined;
};

export type Missing = { readonly missing: string };

const programs = [
  ...["etcd", "kube-apiserver", "helm", "kube-controller-manager", "kube-scheduler", "kubelet"],
  ...["kube-proxy", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr", "coredns", "pause"],
];
const imageName = "mailroute.test/mailroute:test";

/**
 * A node with so many volumes for claims, or the reason why there is none here: with CI=true that is for the caller to
 * fail on. It is stopped when this process ends, also by a signal.
 */
export async function startNode(
  options: { readonly volumes?: number } = {},
): Promise<ClusterNode | Missing> {
  const kubeconfig = process.env["MAILROUTE_TEST_KUBECONFIG"];
  if (kubeconfig !== undefined) return foreign(kubeconfig);
  const missing = missingHere();
  if (missing !== undefined) return { missing };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
  const cache = join(
    process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
    "mailroute/cluster",
  );
  try {
    await runScript("packages.sh", []);
    const bin = join(cache, "bin");
    const absent = programs.filter((each) => !existsSync(join(bin, each)));
    if (absent.length > 0) await runScript("build.sh", [cache, ...absent]);
    return await started(cache, bin, options);
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

function foreign(kubeconfig: string): ClusterNode | Missing {
  const image = process.env["MAILROUTE_TEST_IMAGE"];
  if (image === undefined) return { missing: "MAILROUTE_TEST_IMAGE names no image to test" };
  return { ...commands(["env", `KUBECONFIG=${kubeconfig}`]), image, own: undefined };
}

async function started(
  cache: string,
  bin: string,
  { volumes }: { readonly volumes?: number },
): Promise<ClusterNode> {
  const state = mkdtempSync(join(tmpdir(), "mailroute-node-"));
  const name = `mailroute-${process.pid}`;
  process.once("exit", () => spawnSync(join(import.meta.dirname, "down.sh"), [state, name]));
  const archive = join(state, "image.tar");
  await runScript("image.sh", [cache, imageName, archive]);
  await runScript("up.sh", [bin, state, name, ...(volumes === undefined ? [] : [String(volumes)])]);
  const socket = `/run/${name}/containerd.sock`;
  await run([join(bin, "ctr"), "-a", socket, "-n", "k8s.io", "images", "import", archive]);
  const inNetwork = ["nsenter", `--net=/run/netns/${name}`];
  const path = `PATH=${bin}:${process.env["PATH"] ?? ""}`;
  const kubeconfig = `KUBECONFIG=${join(state, "pki/admin.conf")}`;
  const all = commands([...inNetwork, "env", path, kubeconfig]);
  return { ...all, image: imageName, own: new OwnNode({ state, name, kubectl: all.kubectl }) };
}

function commands(prefix: readonly string[]): Pick<ClusterNode, "kubectl" | "helm" | "start"> {
  const [first = "", ...rest] = prefix;
  return {
    kubectl: async (args, input) => await run([...prefix, "kubectl", ...args], input),
    helm: async (args) => await run([...prefix, "helm", ...args]),
    start: (program, args) =>
      spawn(first, [...rest, program, ...args], { stdio: ["pipe", "pipe", "inherit"] }),
  };
}
