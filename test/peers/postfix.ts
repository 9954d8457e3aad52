/**
 * A Postfix of its own in a scratch directory: Debian's services and defaults but for what a test or the benchmark
 * sets, its queue synced before 250 as Postfix always does. A child of this process; needs root, as Postfix does.
 * Knows nothing of what it is wanted for.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../ledger/relay-process.ts";
import { greets } from "./ports.ts";

export type Postfix = {
  /** Of the master process. */
  readonly pid: number;
  /** Messages in its queue. */
  queued(): number;
  /** Has it look at its whole queue now. */
  flush(): void;
  /** All that it has logged. */
  log(): string;
  close(): Promise<void>;
};

/** Settings as in main.cf. */
export type Settings = Readonly<Record<string, string>>;

export type PostfixOptions = {
  readonly settings: Settings;
  /** Ports of 127.0.0.1 that it takes mail at, with what is set for each alone. */
  readonly ports: ReadonlyMap<number, Settings>;
  /** More lines of master.cf. */
  readonly services?: readonly string[];
};

const startMsMax = 20_000;
const queues = ["incoming", "active", "deferred"];

/** Rejects with what it has said where it does not start. */
export async function startPostfix(options: PostfixOptions): Promise<Postfix> {
  const { settings, ports, services = [] } = options;
  const directory = mkdtempSync(join(tmpdir(), "mailroute-postfix-"));
  chmodSync(directory, 0o755);
  const [config, queue, data] = ["etc", "queue", "data"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const each of [config, queue, data]) mkdirSync(each);
  execFileSync("chown", ["postfix", data]);
  const logFile = join(directory, "log");
  const all: Settings = {
    compatibility_level: "3.6",
    queue_directory: queue,
    data_directory: data,
    myhostname: "postfix.test",
    mydestination: "",
    inet_interfaces: "127.0.0.1",
    inet_protocols: "ipv4",
    mynetworks: "127.0.0.0/8",
    alias_maps: "",
    local_recipient_maps: "",
    smtp_tls_security_level: "none",
    smtpd_tls_security_level: "none",
    maillog_file: logFile,
    maillog_file_prefixes: directory,
    smtpd_peername_lookup: "no",
    disable_dns_lookups: "yes",
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  writeFileSync(join(config, "main.cf"), `${lines.join("\n")}\n`);
  writeFileSync(join(config, "master.cf"), [servicesAt(ports), ...services, ""].join("\n"));
  const child = spawn("postfix", ["-c", config, "start-fg"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let words = "";
  child.stderr.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-4000);
  });
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, "utf8") : "");
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const close = async (): Promise<void> => {
    if (!hasEnded()) {
      const ended = once(child, "exit");
      execFileSync("postfix", ["-c", config, "stop"], { stdio: "pipe" });
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  };
  const pidFile = join(queue, "pid/master.pid");
  const isUp = (): boolean => {
    if (hasEnded()) throw new Error(`postfix ended: ${words} ${log()}`);
    return existsSync(pidFile) && readFileSync(pidFile, "utf8").trim() !== "";
  };
  try {
    await eventually(isUp, { msMax: startMsMax, what: "postfix starts" });
    for (const port of ports.keys()) await greets(port, `Postfix greets at ${port}`);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    pid: Number(readFileSync(pidFile, "utf8").trim()),
    queued: () => countFiles(queues.map((each) => join(queue, each))),
    flush: () => void execFileSync("postqueue", ["-c", config, "-f"], { stdio: "pipe" }),
    log,
    close,
  };
}

/** Debian's services, not chrooted as they come, with smtpd at these ports. */
function servicesAt(ports: PostfixOptions["ports"]): string {
  const services = readFileSync("/usr/share/postfix/master.cf.dist", "utf8").split("\n");
  return services
    .flatMap((line) => {
      if (!/^smtp\s+inet/.test(line)) return [line];
      return [...ports].map(([port, own]) => {
        const set = Object.entries(own).map(([name, value]) => `\n  -o { ${name} = ${value} }`);
        return line.replace(/^smtp\s+/, `127.0.0.1:${port} `) + set.join("");
      });
    })
    .map((line) => line.replace(/^(\S+\s+(?:inet|unix)\s+\S+\s+\S+\s+)y(\s)/, "$1n$2"))
    .join("\n");
}

function countFiles(directories: readonly string[]): number {
  const entries = directories.flatMap((directory) =>
    readdirSync(directory, { withFileTypes: true, recursive: true }),
  );
  return entries.filter((entry) => entry.isFile()).length;
}
