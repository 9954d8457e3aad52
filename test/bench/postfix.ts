/**
 * Postfix as the peer of the benchmark: an instance of its own in a scratch directory, with Debian's
 * defaults but for what the load needs, its queue on the same file system as ours and synced before 250 as
 * Postfix always does. Needs root, as Postfix does.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Postfix = {
  readonly port: number;
  readonly pid: number;
  queued(): number;
  close(): void;
};

export type PostfixOptions = { readonly port: number; readonly sinkPort: number };

export function startPostfix({ port, sinkPort }: PostfixOptions): Postfix {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-postfix-"));
  chmodSync(directory, 0o755);
  const config = join(directory, "etc");
  const queue = join(directory, "queue");
  const data = join(directory, "data");
  for (const each of [config, queue, data]) mkdirSync(each);
  execFileSync("chown", ["postfix", data]);
  const settings = {
    compatibility_level: "3.6",
    queue_directory: queue,
    data_directory: data,
    myhostname: "postfix.test",
    mydestination: "",
    inet_interfaces: "127.0.0.1",
    inet_protocols: "ipv4",
    mynetworks: "127.0.0.0/8",
    relayhost: `[127.0.0.1]:${sinkPort}`,
    alias_maps: "",
    local_recipient_maps: "",
    smtp_tls_security_level: "none",
    smtpd_tls_security_level: "none",
    maillog_file: "/var/log/mailroute-bench-postfix.log",
    smtpd_client_connection_count_limit: "0",
    default_process_limit: "100",
    default_destination_concurrency_limit: "50",
    smtpd_peername_lookup: "no",
    disable_dns_lookups: "yes",
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  writeFileSync(join(config, "main.cf"), `${lines.join("\n")}\n`);
  writeFileSync(join(config, "master.cf"), masterWithPort(port));
  const postfix = (command: string): void => {
    execFileSync("postfix", ["-c", config, command], { stdio: "pipe" });
  };
  postfix("start");
  return {
    port,
    pid: Number(readFileSync(join(queue, "pid/master.pid"), "utf8").trim()),
    queued: () => countFiles(["incoming", "active", "deferred"].map((each) => join(queue, each))),
    close() {
      postfix("stop");
      rmSync(directory, { recursive: true, force: true });
      rmSync(settings.maillog_file, { force: true });
    },
  };
}

/** Debian's services, not chrooted as they come, with smtpd on our port. */
function masterWithPort(port: number): string {
  const services = readFileSync("/usr/share/postfix/master.cf.dist", "utf8").split("\n");
  return services
    .map((line) => {
      if (/^smtp\s+inet/.test(line)) return line.replace(/^smtp\s+/, `127.0.0.1:${port} `);
      return line;
    })
    .map((line) => line.replace(/^(\S+\s+(?:inet|unix)\s+\S+\s+\S+\s+)y(\s)/, "$1n$2"))
    .join("\n");
}

function countFiles(directories: readonly string[]): number {
  const found = execFileSync("find", [...directories, "-type", "f"]).toString();
  return found.split("\n").filter((line) => line !== "").length;
}
