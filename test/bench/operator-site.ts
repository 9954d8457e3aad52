/**
 * What the operator's benchmark runs on: an API server, the operator as a process and a user of its own behind
 * the counting proxy, and two relays on loopback addresses of their own that take their table from it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { type ControlPlane, startControlPlane } from "../cluster/control-plane.ts";
import { Cluster } from "../cluster/installation.ts";
import { eventually, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import {
  type CountingProxy,
  type Requests,
  requestsOf,
  startCountingProxy,
} from "./operator-traffic.ts";
import { treeCost } from "./process-cost.ts";

const root = join(import.meta.dirname, "../..");
const operatorUser = "system:serviceaccount:mail:operator";
const endMsMax = 20_000;
/** What Node gives itself in a pod with the chart's limit of 512 MiB; on a large machine it collects late. */
const heapMb = 256;
/** A kept connection may be closed by its server at the moment that it is used again. */
const unkept = { headers: { connection: "close" } };

export type Site = {
  readonly plane: ControlPlane;
  readonly cluster: Cluster;
  readonly proxy: CountingProxy;
  readonly kubeConfigFile: string;
  readonly directory: string;
  /** Of the operator. */
  requests(): Requests;
  close(): Promise<void>;
};

export async function openSite(): Promise<Site> {
  const plane = await startControlPlane();
  if ("missing" in plane) throw new Error(`the benchmark needs a control plane: ${plane.missing}`);
  const { audit } = plane;
  if (audit === undefined)
    throw new Error("the benchmark counts requests in an audit log of its own control plane");
  const cluster = new Cluster(plane);
  const directory = mkdtempSync(join(tmpdir(), "mailroute-bench-operator-"));
  try {
    await cluster.prepare();
    const server = new URL(plane.kubeConfig.getCurrentCluster()?.server ?? "");
    const proxy = await startCountingProxy(Number(server.port));
    const kubeConfigFile = join(directory, "kubeconfig");
    writeFileSync(kubeConfigFile, await operatorConfig({ plane, cluster, port: proxy.port }));
    return {
      plane,
      cluster,
      proxy,
      kubeConfigFile,
      directory,
      requests: () => requestsOf(audit(), operatorUser),
      async close() {
        await proxy.close();
        await cluster.close();
        await plane.stop();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await plane.stop();
    throw error;
  }
}

/** A kubeconfig of a ServiceAccount that may do everything, through the proxy. */
async function operatorConfig(options: {
  readonly plane: ControlPlane;
  readonly cluster: Cluster;
  readonly port: number;
}): Promise<string> {
  const { plane, cluster, port } = options;
  const accounts = "/api/v1/namespaces/mail/serviceaccounts";
  await cluster.create(accounts, { metadata: { name: "operator" } });
  await cluster.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
    metadata: { name: "operator" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "cluster-admin" },
    subjects: [{ kind: "ServiceAccount", name: "operator", namespace: "mail" }],
  });
  const answer = await cluster.create(`${accounts}/operator/token`, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { expirationSeconds: 3600 },
  });
  const { token } = answer["status"] as { token: string };
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    {
      name: "test",
      server: `https://127.0.0.1:${port}`,
      caData: plane.kubeConfig.getCurrentCluster()?.caData ?? "",
      skipTLSVerify: false,
    },
    { name: "operator", token },
  );
  return config.exportConfig();
}

export type BenchOperator = {
  readonly pid: number;
  /** Epoch milliseconds of its spawning. */
  readonly startedMs: number;
  /** Its log, with `time` as epoch milliseconds. */
  readonly events: readonly {
    readonly event: string;
    readonly timeMs: number;
    readonly [field: string]: unknown;
  }[];
  metric(name: string): Promise<number>;
  /** Highest resident memory so far, in MB. */
  peakMb(): number;
  cpuMs(): number;
  stop(): Promise<void>;
};

export function startBenchOperator(
  site: Site,
  options: {
    readonly identity: string;
    readonly relayPort: number;
    readonly profile?: string | undefined;
  },
): BenchOperator {
  const flags = {
    name: "mailroute",
    namespace: "mail",
    identity: options.identity,
    "relay-selector": "role=relay",
    "relay-admin-port": options.relayPort,
    "admin-host": "127.0.0.1",
    "admin-port": 0,
  };
  const profiling =
    options.profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${options.profile}`];
  const startedMs = Date.now();
  const child = spawn(
    process.execPath,
    [
      `--max-old-space-size=${heapMb}`,
      ...profiling,
      join(root, "cli/main.ts"),
      "operator",
      ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
    ],
    {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, KUBECONFIG: site.kubeConfigFile },
    },
  );
  const events = logOf(child);
  const pid = child.pid ?? 0;
  return {
    pid,
    startedMs,
    events,
    async metric(name) {
      const admin = events.find(({ event }) => event === "started")?.["admin"];
      if (admin === undefined) return Number.NaN;
      const text = await (await fetch(`http://127.0.0.1:${String(admin)}/metrics`, unkept)).text();
      return Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1]);
    },
    peakMb() {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
    },
    cpuMs: () => treeCost(pid).cpuMs,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const late = setTimeout(() => child.kill("SIGKILL"), endMsMax);
      child.kill("SIGTERM");
      await once(child, "exit");
      clearTimeout(late);
    },
  };
}

function logOf(child: ChildProcess): { event: string; timeMs: number; [field: string]: unknown }[] {
  const events: { event: string; timeMs: number; [field: string]: unknown }[] = [];
  let rest = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const fields = JSON.parse(line) as Record<string, unknown>;
      events.push({
        ...fields,
        event: String(fields["event"]),
        timeMs: Date.parse(String(fields["time"])),
      });
    }
  });
  return events;
}

export type BenchRelay = {
  readonly name: string;
  readonly process: RelayProcess;
  /** Resolves when it listens: with its first table. */
  readonly started: Promise<void>;
  /** Epoch milliseconds of the first table in force at or after a time; undefined: none yet. */
  tableSince(ms: number): number | undefined;
  digest(): Promise<string | undefined>;
  /** The longest event-loop block since the last time it was asked, in ms. */
  blockMs(): Promise<number>;
};

/** Each on an address of its own, since the operator asks all of them at one port. Its Pod turns ready with it. */
export async function startRelays(site: Site, port: number): Promise<readonly BenchRelay[]> {
  const relays: BenchRelay[] = [];
  for (const [name, address] of [
    ["relay-0", "127.0.0.2"],
    ["relay-1", "127.0.0.3"],
  ] as const) {
    const relay = relayProcess({
      routes: { installation: { name: "mailroute", namespace: "mail" } },
      listeners: [{ name: "smtp", host: address, port: 0 }],
      admin: { host: address, port },
    });
    const admin = `http://${address}:${port}`;
    const started = relay.start().then(async () => await site.cluster.relayPod(name, address));
    started.catch(() => undefined); // whoever awaits it hears of it
    relays.push({
      name,
      process: relay,
      started,
      tableSince: (ms) =>
        relay
          .log()
          .filter(({ event }) => event === "table")
          .map(({ time }) => Date.parse(String(time)))
          .find((time) => time >= ms),
      async digest() {
        const answer = await fetch(`${admin}/revision`, unkept);
        return ((await answer.json()) as { digest?: string }).digest;
      },
      async blockMs() {
        const text = await (await fetch(`${admin}/metrics`, unkept)).text();
        return Number(/^mailroute_eventloop_block_seconds_max (\S+)/m.exec(text)?.[1]) * 1000;
      },
    });
    const answers = async () =>
      await fetch(`${admin}/healthz`, unkept).then(
        () => true,
        () => false,
      );
    await eventually(answers, { msMax: 20_000, what: `${name} answers` });
  }
  return relays;
}
