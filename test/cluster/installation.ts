/**
 * An installation on a real API server without pods: CRDs, a namespace, operators and relays as processes,
 * and Pod objects that stand for the relays so that the operator finds them.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { type Api, type ApiAnswer, createApi, type KubeObject } from "../../kube/api.ts";
import { eventually } from "../ledger/relay-process.ts";
import type { ControlPlane } from "./control-plane.ts";

const root = join(import.meta.dirname, "../..");
export const routesPath = "/apis/mailroute.dev/v1alpha1/namespaces/mail/mailroutes";

export type OperatorProcess = {
  readonly identity: string;
  readonly events: readonly Record<string, unknown>[];
  signal(name: NodeJS.Signals): void;
  /** Resolves when it has ended, with its exit code. */
  readonly ended: Promise<number | null>;
};

export class Cluster {
  readonly api: Api;
  readonly #directory = mkdtempSync(join(tmpdir(), "mailroute-cluster-"));
  readonly #children: ChildProcess[] = [];

  constructor(plane: ControlPlane) {
    this.api = createApi(plane.kubeConfig, { requestMsMax: 10_000 });
    const file = join(this.#directory, "kubeconfig");
    writeFileSync(file, plane.kubeConfig.exportConfig());
    process.env["KUBECONFIG"] = file; // for the processes started from here
  }

  async prepare(): Promise<void> {
    for (const name of ["mailroutes", "mailgrants"]) {
      const definition = parse(readFileSync(join(root, `crds/${name}.yaml`), "utf8")) as object;
      await this.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition);
    }
    await this.create("/api/v1/namespaces", { metadata: { name: "mail" } });
    const isServed = async () => (await this.api.request({ path: routesPath })).status === 200;
    await eventually(isServed, { msMax: 20_000, what: "MailRoutes are served" });
  }

  /** Throws with the API server's words where it refuses. */
  async create(path: string, body: object): Promise<KubeObject> {
    const answer = await this.api.request({ method: "POST", path, body });
    if (answer.status >= 300 && answer.status !== 409) {
      throw new Error(`${path} answered ${answer.status}: ${answer.body.message}`);
    }
    return answer.body;
  }

  async patch(path: string, body: object): Promise<ApiAnswer> {
    return await this.api.request({
      method: "PATCH",
      path,
      body,
      contentType: "application/merge-patch+json",
    });
  }

  /** A MailRoute of namespace mail, made or changed. */
  async route(name: string, spec: object): Promise<void> {
    const resource = {
      apiVersion: "mailroute.dev/v1alpha1",
      kind: "MailRoute",
      metadata: { name, namespace: "mail" },
      spec,
    };
    const answer = await this.api.request({ method: "POST", path: routesPath, body: resource });
    if (answer.status === 409) await this.patch(`${routesPath}/${name}`, { spec });
    else if (answer.status >= 300) throw new Error(answer.body.message);
  }

  /** A condition of a MailRoute's status, where it is about the generation that stands. */
  async condition(name: string, type: string): Promise<Readonly<Record<string, unknown>>> {
    const { body } = await this.api.request({ path: `${routesPath}/${name}` });
    const { conditions = [] } = (body["status"] ?? {}) as {
      conditions?: Record<string, unknown>[];
    };
    const found = conditions.find((each) => each["type"] === type);
    return found?.["observedGeneration"] === body.metadata?.["generation"] ? (found ?? {}) : {};
  }

  async until(name: string, type: string, status: string): Promise<void> {
    const holds = async () => (await this.condition(name, type))["status"] === status;
    await eventually(holds, { msMax: 20_000, what: `${name}: ${type}=${status}` });
  }

  /** A Pod object, ready: what the operator finds a relay by. */
  async relayPod(name: string, address = "127.0.0.1"): Promise<void> {
    const path = "/api/v1/namespaces/mail/pods";
    const containers = [{ name: "relay", image: "none.test/none" }];
    await this.create("/api/v1/namespaces/mail/serviceaccounts", { metadata: { name: "default" } });
    await this.create(path, {
      metadata: { name, labels: { role: "relay" } },
      spec: { containers, nodeName: "none", automountServiceAccountToken: false },
    });
    const conditions = [{ type: "Ready", status: "True" }];
    await this.patch(`${path}/${name}/status`, {
      status: { phase: "Running", podIP: address, podIPs: [{ ip: address }], conditions },
    });
  }

  /** A file that processes can be given. */
  file(name: string, text: string): string {
    const file = join(this.#directory, name);
    writeFileSync(file, text);
    return file;
  }

  operator(
    identity: string,
    relayAdminPort: number,
    more: readonly string[] = [],
  ): OperatorProcess {
    const flags = {
      name: "mailroute",
      namespace: "mail",
      identity,
      "relay-selector": "role=relay",
      "relay-admin-port": relayAdminPort,
      "admin-host": "127.0.0.1",
      "admin-port": 0,
    };
    const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
    args.push(...more);
    const child = spawn(process.execPath, [join(root, "cli/main.ts"), "operator", ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#children.push(child);
    const events: Record<string, unknown>[] = [];
    let rest = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) events.push(JSON.parse(line) as Record<string, unknown>);
    });
    return {
      identity,
      events,
      signal: (name) => child.kill(name),
      ended: once(child, "exit").then(([code]) => code as number | null),
    };
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await this.api.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
