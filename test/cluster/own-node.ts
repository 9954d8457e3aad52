/** What can be done to a test's own node from outside: signals to its processes, an outage. Adapter over /run and pids. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../ledger/relay-process.ts";
import { run, runScript } from "./programs.ts";

export type Asked = {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code?: number };
  readonly annotations?: Readonly<Record<string, string>>;
};

export type OwnNodeOptions = {
  /** Where up.sh has put everything. */
  readonly state: string;
  readonly name: string;
  readonly kubectl: (args: readonly string[]) => Promise<string>;
};

export class OwnNode {
  readonly state: string;
  readonly #options: OwnNodeOptions;

  constructor(options: OwnNodeOptions) {
    this.state = options.state;
    this.#options = options;
  }

  /** The process id of a pod's first process. The API server is asked for it. */
  async pid(namespace: string, pod: string): Promise<number> {
    const jsonPath = "jsonpath={.status.containerStatuses[0].containerID}";
    const id = await this.#options.kubectl(["get", "pod", "-n", namespace, pod, "-o", jsonPath]);
    const task = `/run/${this.#options.name}/containerd/io.containerd.runtime.v2.task/k8s.io`;
    const file = join(task, id.replace("containerd://", ""), "init.pid");
    return Number(readFileSync(file, "utf8"));
  }

  /** A command in the network of the node, or in that of the pod with that process. */
  async run(command: readonly string[], pid?: number): Promise<string> {
    const network = pid === undefined ? `/run/netns/${this.#options.name}` : `/proc/${pid}/ns/net`;
    return await run(["nsenter", `--net=${network}`, ...command]);
  }

  /** Starts a program that goes on until the node is stopped; what it says is in STATE/log. */
  async launch(name: string, command: readonly string[]): Promise<void> {
    await runScript("start.sh", [this.state, this.#options.name, name, ...command]);
  }

  /** Ends the API server at once; the answer starts it again, and waits until it is ready. */
  async outage(): Promise<() => Promise<void>> {
    const pid = Number(readFileSync(join(this.state, "apiserver.pid"), "utf8"));
    process.kill(pid, "SIGKILL");
    return async () => {
      await runScript("start.sh", [this.state, this.#options.name, "apiserver"]);
      const isReady = async (): Promise<boolean> =>
        await this.#options.kubectl(["get", "--raw", "/readyz"]).then(
          () => true,
          () => false,
        );
      await eventually(isReady, { msMax: 60_000, what: "the API server is ready again" });
    };
  }

  /** What ServiceAccounts have asked of the API server so far. */
  audit(): readonly Asked[] {
    const lines = readFileSync(join(this.state, "log/audit.json"), "utf8").split("\n");
    return lines.slice(0, -1).map((line) => JSON.parse(line) as Asked); // the last is being written
  }
}
