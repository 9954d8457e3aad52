/**
 * A real DNS server on loopback: Debian's unbound with the records that a test gives it, authoritative for
 * "test." and for nothing else. What has no record there is NXDOMAIN. A zone below it is resolved as the
 * Internet is: aliases are followed, wildcards match, and delegations lead where they lead.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "../ledger/relay-process.ts";

export type Unbound = {
  /** "127.0.0.1:port". */
  readonly address: string;
  close(): Promise<void>;
};

export type UnboundOptions = {
  readonly program: string;
  /** "a.test. MX 10 mx1.test." */
  readonly records: readonly string[];
  /** Zones for which it answers SERVFAIL. */
  readonly broken?: readonly string[];
  /** Zones for which it does not answer at all. */
  readonly silent?: readonly string[];
  /** Lines of a zone file, for "zoned.test."; names without a dot at the end are relative to it. */
  readonly zoned?: readonly string[];
};

export async function startUnbound(options: UnboundOptions): Promise<Unbound> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-unbound-"));
  const port = await freePort();
  const file = join(directory, "unbound.conf");
  writeFileSync(join(directory, "zoned.zone"), zoneFile(options.zoned ?? []));
  writeFileSync(file, configuration(options, { port, directory }));
  const child: ChildProcess = spawn(options.program, ["-d", "-c", file], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let words = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-2000);
  });
  const resolver = new Resolver({ timeout: 200, tries: 1 });
  resolver.setServers([`127.0.0.1:${port}`]);
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    rmSync(directory, { recursive: true, force: true });
  };
  const answers = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`unbound ended: ${words}`);
    return await resolver.resolveTxt("ready.test").then(
      () => true,
      () => false,
    );
  };
  try {
    await eventually(answers, { msMax: 10_000, what: "unbound answers" });
  } catch (error) {
    await close();
    throw error;
  }
  return { address: `127.0.0.1:${port}`, close };
}

type Place = { readonly port: number; readonly directory: string };

function configuration(options: UnboundOptions, { port, directory }: Place): string {
  const { records, broken = [], silent = [] } = options;
  const data = ['ready.test. TXT "yes"', ...records];
  // It may not ask localhost, which makes a zone that is forwarded there SERVFAIL.
  const forwards = broken.flatMap((zone) => [
    "forward-zone:",
    `  name: "${zone}"`,
    "  forward-addr: 127.0.0.1@1",
  ]);
  return [
    "server:",
    `  interface: 127.0.0.1@${port}`,
    `  directory: "${directory}"`,
    '  chroot: ""',
    '  username: ""',
    '  pidfile: ""',
    "  use-syslog: no",
    "  verbosity: 0",
    "  do-ip6: no",
    '  module-config: "iterator"',
    '  local-zone: "test." static',
    ...["zoned.test", ...broken].map((zone) => `  local-zone: "${zone}" transparent`),
    ...silent.map((zone) => `  local-zone: "${zone}" always_deny`),
    ...data.map((record) => `  local-data: '${record}'`),
    ...forwards,
    "auth-zone:",
    '  name: "zoned.test."',
    `  zonefile: "${join(directory, "zoned.zone")}"`,
    "  for-downstream: no",
    "  for-upstream: yes",
    "  fallback-enabled: no",
    "remote-control:",
    "  control-enable: no",
    "",
  ].join("\n");
}

function zoneFile(lines: readonly string[]): string {
  const head = ["$ORIGIN zoned.test.", "$TTL 60", "@ SOA ns hostmaster 1 60 60 60 60", "@ NS ns"];
  return `${[...head, "ns A 127.0.0.1", ...lines].join("\n")}\n`;
}

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}
