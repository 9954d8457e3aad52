/** One installation of the chart: its values, and what happens to its pods. Adapter over helm and kubectl. */
import { join } from "node:path";
import { eventually } from "../ledger/relay-process.ts";
import type { ClusterNode } from "./node.ts";

const chart = join(import.meta.dirname, "../../charts/mailroute");

/** Pods of the test's own node, and of clusters elsewhere. */
const podNetworks = ["198.51.100.0/24", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];

export type ReleaseOptions = {
  readonly node: ClusterNode;
  readonly name: string;
  readonly namespace: string;
  /** Over what every release of the tests has; names are paths. */
  readonly values: Readonly<Record<string, unknown>>;
};

type Container = { readonly restartCount: number; readonly ready: boolean };

export class Release {
  readonly name: string;
  readonly namespace: string;
  readonly #options: ReleaseOptions;

  constructor(options: ReleaseOptions) {
    this.name = options.name;
    this.namespace = options.namespace;
    this.#options = options;
  }

  /** As sightings name it. */
  get id(): string {
    return `${this.namespace}/${this.name}`;
  }

  /** Where its clients send to, on port 25. */
  get host(): string {
    return `${this.name}.${this.namespace}`;
  }

  relay(ordinal: number): string {
    return `${this.name}-relay-${ordinal}`;
  }

  /** `helm upgrade --install --wait`, with these values over the others. */
  async install(values: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const { image } = this.#options.node;
    const at = image.lastIndexOf(":");
    const all = {
      image: { repository: image.slice(0, at), tag: image.slice(at + 1) },
      hostname: "relay.test",
      trustedNetworks: podNetworks,
      "relay.config.retry": { initialMs: 500, maxMs: 1000 },
      networkPolicy: { enabled: true, nextHops: { peers: [], ports: [2525] } },
      ...this.#options.values,
      ...values,
    };
    const set = Object.entries(all).flatMap(([path, value]) => [
      "--set-json",
      `${path}=${JSON.stringify(value)}`,
    ]);
    await this.#helm(["upgrade", "--install", this.name, chart, ...set, ...wait]);
  }

  async rollback(): Promise<void> {
    await this.#helm(["rollback", this.name, ...wait]);
  }

  async test(): Promise<string> {
    return await this.#helm(["test", this.name]);
  }

  async uninstall(): Promise<void> {
    await this.#helm(["uninstall", this.name, ...wait]);
  }

  /** Of relays, or of whatever else of it those labels select. */
  async logs(component: "relay" | "operator"): Promise<string> {
    const labels = `app.kubernetes.io/instance=${this.name},app.kubernetes.io/component=${component}`;
    return await this.#kubectl(["logs", "-l", labels, "--tail=-1", "--max-log-requests=10"]);
  }

  /**
   * SIGKILL to a relay's first process, and it is back. The answer is how many messages it found unfinished on its
   * disk, undefined where that cannot be done here.
   */
  async killRelay(ordinal: number): Promise<number | undefined> {
    const pod = this.relay(ordinal);
    const { own } = this.#options.node;
    if (own === undefined) return undefined;
    const before = await this.container(pod);
    process.kill(await own.pid(this.namespace, pod), "SIGKILL");
    await this.isBack(pod, before);
    return await this.queuedAtStart(pod);
  }

  /** Another number of relays, and those that are not wanted are gone. */
  async scaleRelays(replicas: number): Promise<void> {
    const before = Number(await this.#relays("{.spec.replicas}"));
    await this.install({ "relay.replicas": replicas });
    const going = Math.max(before - replicas, 0);
    await this.#areGone(Array.from({ length: going }, (_, at) => this.relay(replicas + at)));
  }

  /**
   * Scales down, and the relays that go are killed before they hand anything over. Where the node is not ours they only
   * get no time for it.
   */
  async cutRelays(replicas: number): Promise<void> {
    const before = Number(await this.#relays("{.spec.replicas}"));
    const going = Array.from({ length: before - replicas }, (_, at) => this.relay(replicas + at));
    const { own } = this.#options.node;
    const pids = own && (await Promise.all(going.map((pod) => own.pid(this.namespace, pod))));
    const scaled = this.install({ "relay.replicas": replicas });
    const isTold = async (): Promise<boolean> => {
      const jsonPath = "jsonpath={.items[*].metadata.deletionTimestamp}";
      const all = await this.#kubectl(["get", "pods", "-l", this.#relayLabels, "-o", jsonPath]);
      return all.split(" ").filter((each) => each !== "").length >= going.length;
    };
    await eventually(isTold, { msMax: 30_000, what: "they are to go", everyMs: 50 });
    for (const pid of pids ?? []) process.kill(pid, "SIGKILL");
    if (own === undefined)
      await this.#kubectl(["delete", "pod", ...going, "--grace-period=1", "--ignore-not-found"]);
    await scaled;
    await this.#areGone(going);
  }

  async #areGone(pods: readonly string[]): Promise<void> {
    for (const pod of pods)
      await this.#kubectl(["wait", "--for=delete", `pod/${pod}`, "--timeout=140s"]);
  }

  /** Ordinals of the relays that have a claim. */
  async claims(): Promise<readonly number[]> {
    const jsonPath = "jsonpath={.items[*].metadata.name}";
    const names = (await this.#kubectl(["get", "pvc", "-o", jsonPath])).split(" ");
    const prefix = `spool-${this.name}-relay-`;
    return names.flatMap((name) =>
      name.startsWith(prefix) ? [Number(name.slice(prefix.length))] : [],
    );
  }

  /** Ordinals of the claims for which there is a Job that empties them. */
  async drains(): Promise<readonly number[]> {
    const jsonPath = "jsonpath={.items[*].metadata.name}";
    const names = (await this.#kubectl(["get", "jobs", "-o", jsonPath])).split(" ");
    const prefix = `${this.name}-drain-`;
    return names.flatMap((name) =>
      name.startsWith(prefix) ? [Number(name.slice(prefix.length))] : [],
    );
  }

  /** Addresses from which relays that are there now have taken messages over since then, one for each. */
  async takenOver(sinceMs: number): Promise<readonly string[]> {
    const since = `--since-time=${new Date(sinceMs).toISOString()}`;
    const args = ["logs", "-l", this.#relayLabels, since, "--tail=-1", "--max-log-requests=10"];
    return (await this.#kubectl(args)).split("\n").flatMap((line) => {
      if (!line.includes('"event":"taken-over"')) return [];
      const { from } = JSON.parse(line) as { from: string };
      return [from.replace(/^::ffff:/, "")];
    });
  }

  /** What a relay says of its queue, one line for each message. */
  async queue(ordinal: number, ...args: readonly string[]): Promise<readonly string[]> {
    const command = ["node", "/app/cli/main.ts", "queue", ...args];
    const said = await this.#kubectl(["exec", this.relay(ordinal), "--", ...command]);
    return said.split("\n").filter((line) => line !== "");
  }

  get #relayLabels(): string {
    return `app.kubernetes.io/instance=${this.name},app.kubernetes.io/component=relay`;
  }

  async #relays(path: string): Promise<string> {
    return await this.#kubectl([
      "get",
      "statefulset",
      `${this.name}-relay`,
      "-o",
      `jsonpath=${path}`,
    ]);
  }

  async isBack(pod: string, before: Container): Promise<void> {
    const holds = async (): Promise<boolean> => {
      const now = await this.container(pod);
      return now.ready && now.restartCount > before.restartCount;
    };
    await eventually(holds, { msMax: 90_000, what: `${pod} is back`, everyMs: 300 });
  }

  async container(pod: string): Promise<Container> {
    const jsonPath = "jsonpath={.status.containerStatuses[0]}";
    return JSON.parse(await this.#kubectl(["get", "pod", pod, "-o", jsonPath])) as Container;
  }

  /** What the process that runs now found unfinished on its disk. */
  async queuedAtStart(pod: string): Promise<number> {
    const lines = (await this.#kubectl(["logs", pod])).split("\n");
    const started = lines.find((line) => line.includes('"event":"started"')) ?? "{}";
    return (JSON.parse(started) as { queued: number }).queued;
  }

  /** The pod of the operator that leads; empty where none does. */
  async leader(): Promise<string> {
    const jsonPath = "jsonpath={.spec.holderIdentity}";
    return await this.#kubectl(["get", "lease", `${this.name}-operator`, "-o", jsonPath]);
  }

  async #kubectl(args: readonly string[]): Promise<string> {
    return await this.#options.node.kubectl(["-n", this.namespace, ...args]);
  }

  async #helm(args: readonly string[]): Promise<string> {
    return await this.#options.node.helm(["-n", this.namespace, ...args]);
  }
}

const wait = ["--wait", "--timeout", "150s"];
