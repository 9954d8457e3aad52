/**
 * An Exim of its own in a scratch directory, a child of this process: takes mail at one port of loopback and sends
 * all of it to one next hop. Exim's defaults but for what a test sets, so that its strictness is that of every
 * Exim. Needs root, and Debian's user for it.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
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
import { ensureForRoot, type Found } from "./debian.ts";
import { freePort, greets } from "./ports.ts";

export type Exim = {
  readonly port: number;
  /** SCRATCH of its configuration. */
  readonly directory: string;
  /** Messages in its queue. */
  queued(): number;
  /** Main log, reject log and panic log. */
  log(): string;
  close(): Promise<void>;
};

export type EximOptions = {
  readonly program: Found;
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Of 127.0.0.1: a number, or what Exim expands to one for each message. */
  readonly nextHopPort: string;
  /** Lines for the transport that leads there; CERTIFICATE is its copy of the certificate, SCRATCH its directory. */
  readonly transport?: readonly string[];
  /** Lines for the main section. */
  readonly settings?: readonly string[];
  /** Of the ACL at RCPT; whom none of them is about is accepted. */
  readonly recipientRules?: readonly string[];
  readonly authenticators?: readonly string[];
};

const user = "Debian-exim";

export async function ensureExim(): Promise<Found> {
  return await ensureForRoot("exim4-daemon-light", "exim4");
}

/** Rejects with what it has said where it does not start. */
export async function startExim(options: EximOptions): Promise<Exim> {
  if ("missing" in options.program) throw new Error(options.program.missing);
  const program = options.program.path;
  const directory = mkdtempSync(join(tmpdir(), "mailroute-exim-"));
  chmodSync(directory, 0o755);
  const at = (name: string): string => join(directory, name);
  for (const name of ["spool", "log"]) mkdirSync(at(name));
  copyFileSync(options.certificateFile, at("cert.pem"));
  copyFileSync(options.keyFile, at("key.pem"));
  execFileSync("chown", ["-R", `${user}:`, ...["spool", "log", "cert.pem", "key.pem"].map(at)]);
  const port = await freePort();
  writeFileSync(at("exim.conf"), configuration(options, { program, directory, port }));
  const child = spawn(program, ["-C", at("exim.conf"), "-bdf", "-q1s"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let words = "";
  child.stderr.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-4000);
  });
  const log = (): string =>
    ["mainlog", "rejectlog", "paniclog"]
      .map((name) => at(`log/${name}`))
      .map((file) => (existsSync(file) ? readFileSync(file, "utf8") : ""))
      .join("");
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    }
    rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  };
  try {
    await greets(port, "Exim greets");
  } catch (cause) {
    const said = words + log();
    await close();
    throw new Error(`Exim does not start: ${said}`, { cause });
  }
  const queued = (): number => {
    const input = at("spool/input");
    return existsSync(input) ? readdirSync(input).filter((name) => name.endsWith("-H")).length : 0;
  };
  return { port, directory, queued, log, close };
}

type Place = { readonly program: string; readonly directory: string; readonly port: number };

function configuration(options: EximOptions, { program, directory, port }: Place): string {
  const { settings = [], recipientRules = [], transport = [], authenticators = [] } = options;
  const indented = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);
  return [
    `SCRATCH = ${directory}`,
    "CERTIFICATE = SCRATCH/cert.pem",
    "primary_hostname = exim.test",
    // It runs itself again for each delivery.
    `exim_path = ${program}`,
    "spool_directory = SCRATCH/spool",
    "log_file_path = SCRATCH/log/%slog",
    "pid_file_path = SCRATCH/spool/pid",
    `local_interfaces = 127.0.0.1.${port}`,
    "disable_ipv6",
    "deliver_drop_privilege",
    "host_lookup =",
    "rfc1413_hosts =",
    "smtp_receive_timeout = 30s",
    "keep_environment =",
    "tls_certificate = CERTIFICATE",
    "tls_privatekey = SCRATCH/key.pem",
    "acl_smtp_rcpt = recipients",
    ...settings,
    "begin acl",
    "recipients:",
    ...indented([...recipientRules, "accept"]),
    "begin routers",
    "onward:",
    ...indented([
      "driver = manualroute",
      "route_list = * 127.0.0.1",
      "self = send",
      "transport = onward",
    ]),
    "begin transports",
    "onward:",
    ...indented([
      "driver = smtp",
      `port = ${options.nextHopPort}`,
      "allow_localhost",
      // Exim would bounce what has longer lines.
      "message_linelength_limit = 1000000",
      ...transport,
    ]),
    "begin retry",
    "* * F,1h,1s",
    "begin authenticators",
    ...authenticators,
    "",
  ].join("\n");
}
