/** What pods.test.ts has on its cluster: the charts' installation, next hops, and pods that send. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Arrival, Entry } from "../ledger/reckoning.ts";
import { eventually } from "../ledger/relay-process.ts";
import type { ClusterNode } from "./node.ts";

const root = join(import.meta.dirname, "../..");
export const namespace = "mail";
export const release = "mailroute";
const hopNames = ["one", "two", "late", "store"] as const;
export type HopName = (typeof hopNames)[number];

/** Pods of the test's own node, and of clusters elsewhere. */
const podNetworks = ["198.51.100.0/24", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

export const hopHost = (name: HopName): string => `${name}.hops.svc.cluster.local`;

/** A line of pod-sink.ts. */
type Received = {
  readonly atMs: number;
  readonly number: number;
  readonly recipients: readonly string[];
};

export type Load = { stop(): Promise<readonly Entry[]> };

export class Pods {
  readonly #node: ClusterNode;
  readonly #values: object;

  constructor(node: ClusterNode) {
    this.#node = node;
    const at = node.image.lastIndexOf(":");
    this.#values = {
      hostname: "relay.test",
      image: { repository: node.image.slice(0, at), tag: node.image.slice(at + 1) },
      trustedNetworks: podNetworks,
      deniedNetworks: ["203.0.113.0/24", "192.0.2.1/32"],
      networkPolicy: { enabled: true, nextHops: { peers: [], ports: [2525] } },
      delegations: [
        {
          name: "sales",
          namespaces: { selector: { matchLabels: { team: "sales" } } },
          suffixes: ["sales.test"],
          targets: { hosts: [{ host: "*.hops.svc.cluster.local" }] },
        },
      ],
      relay: {
        config: {
          inbound: { hosts: [{ host: hopHost("store"), port: 2525 }] },
          retry: { initialMs: 500, maxMs: 1000 },
        },
      },
    };
  }

  /** Namespaces with restricted Pod Security, the charts, next hops and a client. */
  prepare(): void {
    const enforce = { "pod-security.kubernetes.io/enforce": "restricted" };
    for (const [name, labels] of [
      [namespace, enforce],
      ["hops", enforce],
      ["team", {}],
      ["sales", { team: "sales" }],
    ] as const) {
      this.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
    }
    this.#node.helm(["install", "mailroute-crds", join(root, "charts/mailroute-crds"), "--wait"]);
    const programs = ["cluster/pod-sink.ts", "cluster/pod-load.ts"];
    programs.push("ledger/sink.ts", "ledger/generator.ts");
    const data = Object.fromEntries(
      programs.map((file) => [
        file.replace("/", "-"),
        readFileSync(join(root, "test", file), "utf8"),
      ]),
    );
    this.apply({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "programs", namespace: "hops" },
      data,
    });
    for (const name of hopNames) this.#hop(name, programs);
    this.apply(this.#deployment("client", ["-e", "setInterval(() => {}, 1e9)"], programs));
  }

  /** `helm upgrade --install --wait`; `values` are paths, over the test's own. */
  install(values: object = {}): void {
    const all = [...Object.entries(this.#values), ...Object.entries(values)];
    const set = all.flatMap(([path, value]) => ["--set-json", `${path}=${JSON.stringify(value)}`]);
    const chart = join(root, "charts/mailroute");
    const wait = ["--wait", "--timeout", "150s"];
    this.#node.helm(["upgrade", "--install", release, chart, "-n", namespace, ...set, ...wait]);
  }

  apply(...objects: readonly object[]): string {
    const list = { apiVersion: "v1", kind: "List", items: objects };
    return this.#node.kubectl(["apply", "-f", "-"], JSON.stringify(list));
  }

  route(name: string, spec: object, inNamespace = namespace): string {
    return this.apply({
      apiVersion: "mailroute.dev/v1alpha1",
      kind: "MailRoute",
      metadata: { name, namespace: inNamespace },
      spec,
    });
  }

  /** `reason: message` of a condition that is about the generation that stands. */
  condition(name: string, type: string, inNamespace = namespace): string {
    const resource = this.get("mailroute", name, inNamespace);
    const { metadata, status } = resource as {
      metadata: { generation: number };
      status?: { conditions?: Record<string, unknown>[] };
    };
    const found = status?.conditions?.find((each) => each["type"] === type);
    if (found?.["observedGeneration"] !== metadata.generation) return "";
    return `${String(found["status"])} ${String(found["reason"])}: ${String(found["message"])}`;
  }

  async until(
    name: string,
    wanted: { readonly type: string; readonly says: RegExp; readonly namespace?: string },
  ): Promise<void> {
    let said = "";
    const holds = (): boolean => {
      said = this.condition(name, wanted.type, wanted.namespace);
      return wanted.says.test(said);
    };
    await eventually(holds, { msMax: 30_000, what: `${name}: ${wanted.says}` }).catch((error) => {
      throw new Error(`${name}: ${wanted.type} is "${said}"`, { cause: error });
    });
  }

  get(kind: string, name: string, inNamespace = namespace): unknown {
    return JSON.parse(this.#node.kubectl(["get", kind, name, "-n", inNamespace, "-o", "json"]));
  }

  /** From the client pod, with the image's own `mailroute send`. */
  send(to: string): string {
    const send = ["node", "/app/cli/main.ts", "send", "--host", `${release}.${namespace}`];
    const args = ["--port", "25", "--to", to, "--from", "me@client.test"];
    return this.#node.kubectl(["exec", "-n", "hops", "deploy/client", "--", ...send, ...args]);
  }

  async arrives(to: string, hop: HopName): Promise<void> {
    this.send(to);
    await this.isAt(to, hop);
    for (const other of hopNames.filter((each) => each !== hop)) {
      assert.ok(!this.received(other).some(({ recipients }) => recipients.includes(to)), other);
    }
  }

  async isAt(to: string, hop: HopName): Promise<void> {
    const there = () => this.received(hop).some(({ recipients }) => recipients.includes(to));
    await eventually(there, { msMax: 30_000, what: `${to} at ${hop}` });
  }

  received(hop: HopName): readonly (Arrival & Received)[] {
    const select = ["-l", `app=${hop}`, "--tail=-1"];
    const lines = this.#node.kubectl(["logs", "-n", "hops", ...select]).split("\n");
    return lines
      .filter((line) => line.startsWith("{"))
      .map((line) => ({ ...(JSON.parse(line) as Received), host: hop }));
  }

  /** Numbered mail from the client pod to user@domain, until stopped. */
  async load(domain: string): Promise<Load> {
    const program = ["node", "/programs/cluster/pod-load.ts", `${release}.${namespace}`, domain];
    const child = this.#node.start(["exec", "-i", "-n", "hops", "deploy/client", "--", ...program]);
    let output = "";
    const begun = Promise.withResolvers<void>();
    child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      begun.resolve();
    });
    const ended = once(child, "exit");
    await Promise.race([begun.promise, ended]);
    return {
      async stop() {
        child.stdin?.end();
        await ended;
        return JSON.parse(output.trim().split("\n").at(-1) ?? "[]") as Entry[];
      },
    };
  }

  /** For a failed test: what the pods and the API server say. */
  words(): string {
    const ask = (args: readonly string[]): string => {
      try {
        return this.#node.kubectl(args);
      } catch (error) {
        return String(error);
      }
    };
    return [
      ask(["get", "pods,pvc", "-A", "-o", "wide"]),
      ask(["get", "mailroutes", "-A", "-o", "yaml"]),
      ask(["get", "events", "-A", "--sort-by=.lastTimestamp"]).split("\n").slice(-40).join("\n"),
      ask(["logs", "-n", namespace, "-l", `app.kubernetes.io/instance=${release}`, "--tail=40"]),
    ].join("\n");
  }

  #hop(name: HopName, programs: readonly string[]): void {
    const args = ["/programs/cluster/pod-sink.ts", ...(name === "store" ? ["lmtp"] : [])];
    this.apply(this.#deployment(name, args, programs), {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "hops" },
      spec: { clusterIP: "None", selector: { app: name }, ports: [{ port: 2525 }] },
    });
  }

  #deployment(name: string, args: readonly string[], programs: readonly string[]): object {
    const items = programs.map((path) => ({ key: path.replace("/", "-"), path }));
    const container = {
      name: "main",
      image: this.#node.image,
      command: ["node", ...args],
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
      volumeMounts: [{ name: "programs", mountPath: "/programs" }],
    };
    const labels = { app: name };
    return {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace: "hops" },
      spec: {
        replicas: name === "late" ? 0 : 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            automountServiceAccountToken: false,
            terminationGracePeriodSeconds: 1,
            securityContext: { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } },
            containers: [container],
            volumes: [{ name: "programs", configMap: { name: "programs", items } }],
          },
        },
      },
    };
  }
}
