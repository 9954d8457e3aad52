/**
 * What the tests have on their cluster besides the charts: next hops, pods that send, MailRoutes, and an observer
 * of what becomes of these. Adapter over kubectl.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Arrival, Entry } from "../ledger/reckoning.ts";
import { eventually } from "../ledger/relay-process.ts";
import type { ClusterNode } from "./node.ts";
import { type Sighted, type Sighting, Sightings } from "./sightings.ts";
import { deployment, hopsNamespace, programsMap, service, type Workload } from "./workloads.ts";

/**
 * `store` takes LMTP, `login` and `rotating` want a password, `mx` is where mail goes that leaves by MX, `flaky` comes
 * and goes.
 */
const hopNames = ["one", "two", "late", "store", "login", "rotating", "mx", "flaky"] as const;
/** Made by the tests that need them. */
const laterHops: ReadonlySet<string> = new Set(["login", "rotating", "flaky"]);
export type HopName = (typeof hopNames)[number];

export const hopHost = (name: HopName): string => `${name}.${hopsNamespace}.svc.cluster.local`;

/** A MailRoute's spec: to that next hop, tried again every second. */
export function specTo(hop: HopName, ...suffixes: string[]): object {
  const hosts = [{ host: hopHost(hop), port: 2525 }];
  return { suffixes, target: { hosts }, retry: { initial: "1s", max: "1s" } };
}

type Object = { readonly kind: string; readonly metadata: { name: string; namespace?: string } };
type Applied = Object & { readonly metadata: { uid: string; generation: number } };

/** A message as a next hop has it; the number is that of the ledger, or -1. */
export type Received = Arrival & {
  readonly recipients: readonly string[];
  /** Who the relay says that its client was. */
  readonly client?: string;
  /** Whether the next hop has said that it took it. */
  readonly answered?: boolean;
};

export type LoadOptions = {
  readonly name: string;
  /** The relays' host. */
  readonly host: string;
  readonly messagesPerSecond: number;
  /** In turn; one that stands there twice gets twice as much. */
  readonly domains: readonly string[];
};

export type Load = {
  /** What has been sent so far, and what became of it. */
  entries(): Promise<readonly Entry[]>;
  /** Stops it; the answer is everything that it has sent. */
  stop(): Promise<readonly Entry[]>;
};

export type Wanted = {
  readonly type: string;
  /** Of "status reason: message". */
  readonly says: RegExp;
  readonly namespace?: string;
};

export class Pods {
  readonly sightings = new Sightings();
  readonly #node: ClusterNode;
  /** MailRoutes as applied last, by namespace/name. */
  readonly #routes = new Map<string, { uid: string; generation: number; resource: object }>();
  #observer: ChildProcess | undefined;

  constructor(node: ClusterNode) {
    this.#node = node;
  }

  /** Next hops, a client and the observer. `hops` must have its namespace. */
  async prepare(): Promise<void> {
    await this.apply(programsMap());
    const image = this.#node.image;
    const objects: object[] = [];
    for (const name of hopNames.filter((each) => !laterHops.has(each))) {
      const args = ["cluster/pod-sink.ts", ...(name === "store" ? ["lmtp"] : [])];
      objects.push(deployment({ name, image, args, replicas: name === "late" ? 0 : 1 }));
      objects.push(name === "mx" ? service(name, 25) : service(name));
    }
    objects.push(deployment({ name: "client", image, args: ["-e", "setInterval(() => {}, 1e9)"] }));
    await this.apply(...objects);
    this.#observe();
  }

  /** Another next hop, from now on. */
  async hop(workload: Omit<Workload, "image">): Promise<void> {
    await this.apply(deployment({ ...workload, image: this.#node.image }), service(workload.name));
    await this.#rolledOut(workload.name);
  }

  /** A signal to a next hop's, or another workload's, process. */
  async signal(name: string, signal: "TERM" | "HUP" | "USR2"): Promise<void> {
    const inPod = ["exec", "-n", hopsNamespace, `deploy/${name}`, "--"];
    await this.#node.kubectl([...inPod, "sh", "-c", `kill -${signal} 1`]);
  }

  async apply(...objects: readonly object[]): Promise<readonly Applied[]> {
    const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
    const said: unknown = JSON.parse(
      await this.#node.kubectl(["apply", "-f", "-", "-o", "json"], list),
    );
    const { items } = said as { items?: readonly Applied[] };
    return items ?? [said as Applied];
  }

  /** Applies it; the answer is when the watch told of it. */
  async route(name: string, spec: object, namespace = "mail"): Promise<number> {
    const metadata = { name, namespace };
    await this.routes({ apiVersion: "mailroute.dev/v1alpha1", kind: "MailRoute", metadata, spec });
    const id = `${namespace}/${name}`;
    const { uid, generation = 0 } = this.#routes.get(id) ?? {};
    const look = (): Sighted<"route"> | undefined =>
      this.sightings
        .all("route")
        .find((each) => each.id === id && each.uid === uid && each.generation >= generation);
    const what = (): string => `${id} is seen`;
    return (await this.sightings.until(look, { msMax: 60_000, what })).atMs;
  }

  /** MailRoutes as they stand in a manifest. */
  async routes(...resources: readonly object[]): Promise<void> {
    for (const [index, { metadata }] of (await this.apply(...resources)).entries()) {
      const { uid, generation } = metadata;
      const resource = resources[index] ?? {};
      this.#routes.set(`${metadata.namespace}/${metadata.name}`, { uid, generation, resource });
    }
  }

  /** Takes all MailRoutes of a namespace away again. */
  async withdraw(namespace: string): Promise<void> {
    await this.#node.kubectl(["delete", "mailroutes", "--all", "-n", namespace]);
    for (const id of this.#routes.keys())
      if (id.startsWith(`${namespace}/`)) this.#routes.delete(id);
  }

  /** All MailRoutes as they were applied last. */
  get applied(): readonly object[] {
    return [...this.#routes.values()].map(({ resource }) => resource);
  }

  /** Waits for a condition about what was applied last; the answer is when it was seen. */
  async until(name: string, { type, says, namespace = "mail" }: Wanted): Promise<number> {
    const id = `${namespace}/${name}`;
    const look = (): Sighted<"route"> | undefined => {
      const said = this.condition(id, type);
      return said !== undefined && says.test(said) ? this.sightings.route(id) : undefined;
    };
    const what = (): string => `${id}: ${type} ${says}; it is "${this.condition(id, type)}"`;
    const { atMs } = await this.sightings.until(look, { msMax: 90_000, what });
    return atMs;
  }

  /** "status reason: message" of a condition about what was applied last; undefined until it is. */
  condition(id: string, type: string): string | undefined {
    const seen = this.sightings.route(id);
    const applied = this.#routes.get(id);
    const isOld =
      applied?.uid !== seen?.uid || (applied?.generation ?? 0) > (seen?.generation ?? 0);
    const condition = seen?.conditions[type];
    return isOld || condition?.generation !== seen?.generation ? undefined : condition?.says;
  }

  /** With the image's own `mailroute send`, from the client pod. */
  async send(to: string, host = "mailroute.mail", port = 25): Promise<string> {
    const send = ["node", "/app/cli/main.ts", "send", "--host", host, "--port", String(port)];
    const args = [...send, "--to", to, "--from", "me@client.test"];
    return await this.#node.kubectl(["exec", "-n", hopsNamespace, "deploy/client", "--", ...args]);
  }

  /** Sent, each is at its next hop and at no other. */
  async allArrive(mail: Readonly<Record<string, HopName>>, host?: string): Promise<void> {
    const all = Object.entries(mail);
    await Promise.all(all.map(async ([to]) => await this.send(to, host)));
    for (const [to, hop] of all) await this.isAt(to, hop);
    const received = await Promise.all(hopNames.map(async (hop) => await this.received(hop)));
    const found = received.flat().filter(({ recipients }) => recipients.some((to) => to in mail));
    const where = found.map(({ recipients, host: hop }) => [...recipients, hop].join(" "));
    assert.deepEqual(where.sort(), all.map((each) => each.join(" ")).sort());
  }

  async isAt(to: string, hop: HopName): Promise<void> {
    const there = async (): Promise<boolean> =>
      (await this.received(hop)).some(({ recipients }) => recipients.includes(to));
    await eventually(there, { msMax: 120_000, what: `${to} at ${hop}`, everyMs: 200 });
  }

  async received(hop: HopName): Promise<readonly Received[]> {
    const lines = await this.#printed<Received>(hop);
    return lines.filter(({ atMs }) => atMs !== undefined).map((line) => ({ ...line, host: hop }));
  }

  /** Where the mail of a load has arrived: each has numbers of its own, for domains of its own. */
  async arrivals(entries: readonly Entry[]): Promise<readonly Received[]> {
    const sent = new Map(entries.map(({ number, domain }) => [number, `user@${domain}`]));
    const all = await Promise.all(hopNames.map(async (hop) => await this.received(hop)));
    return all.flat().filter(({ number, recipients }) => {
      const to = sent.get(number);
      return to !== undefined && recipients.includes(to);
    });
  }

  /** How many connections that next hop has taken, and messages: over a kept one there may be more. */
  async traffic(hop: HopName): Promise<number> {
    return (await this.#printed<object>(hop)).length;
  }

  /** Numbered mail to user@domain from a pod of its own, until stopped. */
  async load({ name, host, messagesPerSecond, domains }: LoadOptions): Promise<Load> {
    const args = ["cluster/pod-load.ts", host, String(messagesPerSecond), ...domains];
    await this.apply(deployment({ name, image: this.#node.image, args }));
    await this.#rolledOut(name);
    const entries = async (): Promise<readonly Entry[]> =>
      (await this.#printed<Entry>(name)).filter(({ number }) => number !== undefined);
    const begun = async (): Promise<boolean> => (await entries()).length > 0;
    await eventually(begun, { msMax: 30_000, what: `${name} sends`, everyMs: 200 });
    return {
      entries,
      stop: async () => {
        await this.signal(name, "TERM");
        const isOver = async (): Promise<boolean> =>
          (await this.#printed<{ endedMs?: number }>(name)).at(-1)?.endedMs !== undefined;
        await eventually(isOver, { msMax: 60_000, what: `${name} has stopped`, everyMs: 200 });
        const all = await entries();
        await this.#node.kubectl(["delete", "deployment", "-n", hopsNamespace, name]);
        return all;
      },
    };
  }

  async scale(name: HopName, replicas: number): Promise<void> {
    const there = ["-n", hopsNamespace, `deploy/${name}`];
    await this.#node.kubectl(["scale", ...there, `--replicas=${replicas}`]);
    await this.#rolledOut(name);
  }

  /** For a failed test: what the pods and the API server say. */
  async words(): Promise<string> {
    const ask = async (...args: readonly string[]): Promise<string> =>
      await this.#node.kubectl(args).catch(String);
    const events = await ask("get", "events", "-A", "--sort-by=.lastTimestamp");
    const namespaces = new Set(this.sightings.all("relay").map(({ id }) => id.split("/")[0] ?? ""));
    const select = ["-l", "app.kubernetes.io/name=mailroute", "--tail=200"];
    const logs = await Promise.all(
      [...namespaces].map(async (each) => await ask("logs", "-n", each, ...select)),
    );
    return [
      await ask("get", "pods,pvc", "-A", "-o", "wide"),
      await ask("get", "mailroutes", "-A", "-o", "yaml"),
      events.split("\n").slice(-40).join("\n"),
      logs
        .flatMap((text) => text.split("\n"))
        .filter((line) => !/"event":"(accepted|delivered)"/.test(line))
        .join("\n"),
    ].join("\n");
  }

  close(): void {
    this.#observer?.kill("SIGKILL");
  }

  async #rolledOut(name: string): Promise<void> {
    await this.#node.kubectl(["rollout", "status", "-n", hopsNamespace, `deploy/${name}`]);
  }

  async #printed<Line>(app: string): Promise<readonly Line[]> {
    const select = ["-l", `app=${app}`, "--tail=-1"];
    const lines = (await this.#node.kubectl(["logs", "-n", hopsNamespace, ...select])).split("\n");
    return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Line);
  }

  #observe(): void {
    const program = join(import.meta.dirname, "observer.ts");
    const args = this.#node.own === undefined ? [program, "proxy"] : [program];
    const child = this.#node.start(process.execPath, args);
    this.#observer = child;
    process.once("exit", () => this.close()); // also by a signal
    if (child.stdout === null) return;
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (line) => this.sightings.add(JSON.parse(line) as Sighting));
    child.once("exit", (code) => {
      if (code !== null) console.error(`the observer has ended: ${code}`);
    });
  }
}
