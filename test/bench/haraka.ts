/**
 * Haraka as a peer: its outbound queue on disk, to one next hop. Fetched from the npm registry into a cache outside
 * the tree; one process, with its own defaults.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { greets } from "../peers/ports.ts";
import type { Subject } from "./subject.ts";

const version = "3.3.4";
const installMsMax = 300_000;

/** Takes everything and sends it to the one next hop. */
const toSink = (port: number): string => `
exports.hook_rcpt = (next, connection) => { connection.relaying = true; next(OK); };
exports.hook_get_mx = (next) => next(OK, { priority: 0, exchange: "127.0.0.1", port: ${port} });
`;

/** Rejects where it cannot be fetched. */
export async function startHaraka(options: {
  readonly port: number;
  readonly sinkPort: number;
}): Promise<Subject> {
  const { port, sinkPort } = options;
  const home = join(install(), "node_modules/Haraka");
  const directory = mkdtempSync(join(tmpdir(), "mailroute-haraka-"));
  const queue = join(directory, "queue");
  for (const each of ["plugins", "queue"]) mkdirSync(join(directory, each));
  cpSync(join(home, "config"), join(directory, "config"), { recursive: true });
  const files = {
    "config/smtp.ini": `listen=127.0.0.1:${port}\nnodes=0\n`,
    "config/plugins": "to_sink\n",
    "config/me": "haraka.test\n",
    "config/loglevel": "LOGERROR\n",
    "config/outbound.ini": "concurrency_max=50\nenable_tls=false\n",
    "plugins/to_sink.js": toSink(sinkPort),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const child = spawn(process.execPath, [join(home, "bin/haraka"), "-c", directory], {
    stdio: "ignore",
  });
  try {
    await greets(port, "Haraka answers");
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return {
    name: "Haraka",
    syncs: true,
    port,
    pid: child.pid ?? 0,
    queued: () => readdirSync(queue).length,
    async close() {
      child.kill("SIGKILL");
      await once(child, "exit");
      rmSync(directory, { recursive: true });
    },
  };
}

function install(): string {
  const cache = join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "mailroute");
  const there = join(cache, `haraka-${version}`);
  if (existsSync(there)) return there;
  const fresh = mkdtempSync(join(tmpdir(), "mailroute-haraka-install-"));
  const args = ["install", "--no-audit", "--no-fund", "--omit=optional", "--ignore-scripts"];
  execFileSync("npm", [...args, "--prefix", fresh, `Haraka@${version}`], {
    stdio: "pipe",
    timeout: installMsMax,
  });
  mkdirSync(cache, { recursive: true });
  execFileSync("mv", [fresh, there]);
  return there;
}
