/**
 * A relay as a process of its own, as users run it, on a directory of its own: started from a
 * configuration, killed and started again on the same spool, its log lines kept to look at.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import type { ConfigInput } from "../../relay/config/config.ts";

const root = join(import.meta.dirname, "../..");
const logLinesKept = 2000;
/** Longer than a relay waits for the API server before it takes its copy. */
const startMsMaxDefault = 60_000;

export type RelayProcess = {
  readonly directory: string;
  port(name?: string): number | undefined;
  adminPort(): number;
  pid(): number;
  /** Resolves when it listens. Rejects with its last words where it ends instead. */
  start(): Promise<void>;
  /** Where the signal ends it: waits for that; the answer is the exit code, null where it died of it. */
  kill(signal: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT"): Promise<number | null>;
  /** Writes a route file whole, by rename; undefined deletes it. */
  routes(file: string, documents: readonly object[] | string | undefined): void;
  log(): readonly Record<string, unknown>[];
  /** Stops it and removes its directory. */
  close(): Promise<void>;
};

type Environment = Readonly<Record<string, string>>;

export type ProcessOptions = Partial<ConfigInput> & {
  readonly keepLog?: false;
  /** For a spool that takes long to read: 60 s else. */
  readonly startMsMax?: number;
  /** Beside those of this process; of its directory where it is made by a function. */
  readonly environment?: Environment | ((directory: string) => Environment);
};

export function relayProcess(options: ProcessOptions = {}): RelayProcess {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-relay-"));
  const routesDirectory = join(directory, "routes");
  mkdirSync(routesDirectory);
  const {
    keepLog = true,
    environment = {},
    startMsMax = startMsMaxDefault,
    ...overrides
  } = options;
  const config: ConfigInput = {
    hostname: "relay.test",
    routes: { directory: routesDirectory },
    spool: { directory: join(directory, "spool") },
    listeners: [{ name: "smtp", host: "127.0.0.1", port: 0 }],
    trustedNetworks: ["127.0.0.1/32"],
    admin: { host: "127.0.0.1", port: 0 },
    ...overrides,
  };
  const configFile = join(directory, "config.yaml");
  writeFileSync(configFile, stringify(config));
  const own = typeof environment === "function" ? environment(directory) : environment;
  let child: ChildProcess | undefined;
  let ports = new Map<string, number>();
  let admin = 0;
  let log: Record<string, unknown>[] = [];
  return {
    directory,
    port: (name = "smtp") => (child === undefined ? undefined : ports.get(name)),
    adminPort: () => admin,
    pid: () => child?.pid ?? 0,
    log: () => log,
    async start() {
      const started = spawn(
        process.execPath,
        [join(root, "cli/main.ts"), "relay", "--config", configFile],
        { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...own } },
      );
      let words = "";
      started.stderr.on("data", (chunk: Buffer) => {
        words = (words + chunk.toString()).slice(-4000);
      });
      await new Promise<void>((resolve, reject) => {
        const late = setTimeout(() => {
          started.kill("SIGKILL");
          reject(new Error(`the relay does not start: ${JSON.stringify(log.slice(-5))} ${words}`));
        }, startMsMax);
        started.once("exit", () => clearTimeout(late));
        let rest = "";
        let isRunning = false;
        started.stdout.on("data", (chunk: Buffer) => {
          if (!keepLog && isRunning) return;
          const lines = (rest + chunk.toString()).split("\n");
          rest = lines.pop() ?? "";
          for (const line of lines) {
            const event = JSON.parse(line) as Record<string, unknown>;
            log.push(event);
            // What it has said may be read after its end is known.
            if (event["event"] !== "started" || hasEnded(started)) continue;
            ports = portsIn(String(event["listeners"]));
            admin = Number(event["admin"]);
            child = started;
            isRunning = true;
            clearTimeout(late);
            resolve();
          }
          if (log.length > 2 * logLinesKept) log = log.slice(-logLinesKept);
        });
        started.once("exit", (code, signal) => {
          if (child === started) child = undefined;
          reject(new Error(`the relay ended (${code ?? signal}): ${words}`));
        });
      });
    },
    async kill(signal) {
      const running = child;
      if (running === undefined) return null;
      const ends = signal === "SIGKILL" || signal === "SIGTERM";
      if (ends) child = undefined;
      running.kill(signal);
      if (ends && !hasEnded(running)) await once(running, "exit");
      return running.exitCode;
    },
    routes(file, documents) {
      const path = join(routesDirectory, file);
      if (documents === undefined) {
        rmSync(path, { force: true });
        return;
      }
      const text =
        typeof documents === "string"
          ? documents
          : documents.map((each) => stringify(each)).join("---\n");
      writeFileSync(`${path}.new`, text);
      renameSync(`${path}.new`, path);
    },
    async close() {
      await this.kill("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

function portsIn(listeners: string): Map<string, number> {
  const pairs = listeners.split(" ").map((each) => each.split(":"));
  return new Map(pairs.map(([name = "", port]) => [name, Number(port)]));
}

/** A MailRoute to plain-text hosts, as a manifest. */
export function hostsRoute(
  name: string,
  spec: { suffixes?: string[]; domains?: string[]; addresses?: string[]; senders?: object },
  hosts: readonly { host: string; port: number; priority?: number; weight?: number }[],
  more: object = {},
): object {
  return {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailRoute",
    metadata: { name, namespace: "mail" },
    spec: { ...spec, target: { hosts }, tls: { mode: "Disabled" }, ...more },
  };
}

/** Asks again until it holds. Rejects with `what` where it does not in time. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  options: { readonly msMax: number; readonly what: string; readonly everyMs?: number },
): Promise<void> {
  const { msMax, what, everyMs = 20 } = options;
  const endMs = Date.now() + msMax;
  while (!(await condition())) {
    if (Date.now() > endMs) throw new Error(`not within ${msMax} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
