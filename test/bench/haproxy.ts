/** HAProxy as a peer: TCP handed through, nothing kept. It marks what the machine and the load's two ends can do. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { greets } from "../peers/ports.ts";
import type { Subject } from "./subject.ts";

export type HaproxyOptions = {
  readonly program: string;
  readonly port: number;
  readonly sinkPort: number;
};

export async function startHaproxy({ program, port, sinkPort }: HaproxyOptions): Promise<Subject> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-haproxy-"));
  const file = join(directory, "haproxy.cfg");
  const text = `global
  maxconn 5000
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen smtp
  bind 127.0.0.1:${port}
  server sink 127.0.0.1:${sinkPort}
`;
  writeFileSync(file, text);
  const child = spawn(program, ["-f", file, "-db"], { stdio: "ignore" });
  await greets(port, "HAProxy answers");
  return {
    name: "HAProxy (TCP)",
    syncs: false,
    port,
    pid: child.pid ?? 0,
    queued: () => 0,
    async close() {
      child.kill("SIGTERM");
      await once(child, "exit");
      rmSync(directory, { recursive: true });
    },
  };
}
