/**
 * `npm run bench [-- --json] [--share N] [--warm N] [--rounds N] [--peers postfix,haraka,haproxy] [--load TEXT]`: what
 * a message costs us and our peers, in turns within one run, when they have warmed up. Debian's smtp-source drives and
 * its smtp-sink takes; for big messages our own, lighter ones do. Ratios count; absolute numbers are this machine's.
 * docs/benchmarks.md says how to read it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { startGenerator } from "../ledger/generator.ts";
import { eventually, hostsRoute, relayProcess } from "../ledger/relay-process.ts";
import { type Received, startSink } from "../ledger/sink.ts";
import { optionsOf } from "../options.ts";
import { ensureDebian } from "../peers/debian.ts";
import { freePort, greets } from "../peers/ports.ts";
import { diskRate } from "./disk.ts";
import { startHaproxy } from "./haproxy.ts";
import { startHaraka } from "./haraka.ts";
import { imageEnvironment } from "./image-environment.ts";
import { type Cost, isBig, type Load, loadsOf, measure, median } from "./loads.ts";
import { startBenchPostfix } from "./postfix.ts";
import type { Subject } from "./subject.ts";

type Latency = { readonly p50Ms: number; readonly p99Ms: number };

const values = optionsOf(import.meta.filename, {
  json: { type: "boolean", default: false },
  share: { type: "string", default: "1" },
  warm: { type: "string", default: "2" },
  rounds: { type: "string", default: "3" },
  peers: { type: "string", default: "postfix,haraka,haproxy" },
  load: { type: "string", default: "" },
});
const stdio = "inherit";
const latencyMessages = 500;
const latencyPerSecond = 50;

const debian = await ensureDebian("postfix", "smtp-source");
if ("missing" in debian)
  throw new Error(`the benchmark needs Debian's package postfix: ${debian.missing}`);
const arrivals = new Map<number, number>();
const timed = await startSink({ received: (message) => void note(message) });
try {
  const loads = loadsOf(Number(values.share)).filter(({ name }) => name.includes(values.load));
  await throughputs(
    loads.filter((load) => !isBig(load)),
    (port) => spawn("smtp-sink", ["-u", "nobody", `127.0.0.1:${port}`, "1000"], { stdio }),
  );
  await throughputs(loads.filter(isBig), (port) =>
    spawn(process.execPath, [join(import.meta.dirname, "big-sink.ts"), `${port}`], { stdio }),
  );
  await latencies();
} finally {
  await timed.close();
}

async function throughputs(
  loads: readonly Load[],
  sinkAt: (port: number) => ChildProcess,
): Promise<void> {
  if (loads.length === 0) return;
  const port = await freePort();
  const sink = sinkAt(port);
  try {
    await greets(port, "the sink listens");
    await compareAll(loads, port);
  } finally {
    sink.kill();
  }
}

async function compareAll(loads: readonly Load[], sinkPort: number): Promise<void> {
  const subjects = await start(sinkPort);
  try {
    for (const load of loads) await compare(subjects, load);
  } finally {
    for (const subject of subjects) await subject.close();
  }
}

async function compare(subjects: readonly Subject[], load: Load): Promise<void> {
  const costs = new Map<Subject, Cost[]>(subjects.map((subject) => [subject, []]));
  const warm = Number(values.warm);
  for (let round = 0; round < warm + Number(values.rounds); round += 1) {
    for (const [subject, list] of costs) {
      const cost = await measure(subject, load);
      if (round >= warm) list.push(cost);
    }
  }
  const [ours] = subjects;
  const reference = ours && median(costs.get(ours) ?? []);
  const rows = [...costs].map(([{ name, syncs }, list]) => {
    const cost = median(list);
    const times = (reference?.acceptedPerSecond ?? 0) / cost.acceptedPerSecond;
    return { relay: name, syncs, ...cost, "ours : it": Number(times.toFixed(2)) };
  });
  const disk = await diskRate(load.bytes);
  const title = `${load.name}: ${load.messages} messages, ${load.sessions} at once`;
  print(`${title}; the disk alone: ${disk} synced writes of ${load.bytes} octets a second`, rows);
}

/** End to end at a low steady rate, open loop: from MAIL to the next hop's having it. */
async function latencies(): Promise<void> {
  const subjects = await start(timed.port);
  try {
    const rows: object[] = [];
    for (const subject of subjects) rows.push({ relay: subject.name, ...(await latency(subject)) });
    print(`end to end, ${latencyPerSecond} messages a second, 4 KiB`, rows);
  } finally {
    for (const subject of subjects) await subject.close();
  }
}

async function latency(subject: Subject): Promise<Latency> {
  arrivals.clear();
  const generator = startGenerator({
    port: () => subject.port,
    connections: 4,
    messagesPerSecond: latencyPerSecond,
    bodyBytes: 4096,
    address: () => ({ to: "b@bench.test", domain: "bench.test" }),
  });
  await eventually(() => generator.entries.length >= latencyMessages, {
    msMax: 60_000,
    what: `${latencyMessages} messages are sent`,
  });
  await generator.stop();
  const answered = generator.entries.filter((entry) => entry.answered);
  await eventually(() => answered.every(({ number }) => arrivals.has(number)), {
    msMax: 120_000,
    what: "all have arrived",
  });
  const took = answered
    .map(({ number, sentMs }) => (arrivals.get(number) ?? 0) - sentMs)
    .sort((a, b) => a - b);
  const at = (share: number): number =>
    Number((took[Math.floor(took.length * share)] ?? 0).toFixed(2));
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** Ours first, then the peers that are to be had here, each with the sink as its only next hop. */
async function start(sinkPort: number): Promise<Subject[]> {
  const wanted = new Set(values.peers.split(","));
  const subjects = [await startOurs(sinkPort)];
  if (wanted.has("postfix")) {
    const postfix = await startBenchPostfix({ port: await freePort(), sinkPort });
    subjects.push({ name: "Postfix", syncs: true, ...postfix });
  }
  if (wanted.has("haraka")) {
    const haraka = await startHaraka({ port: await freePort(), sinkPort }).catch(String);
    if (typeof haraka === "string") console.log(`without Haraka: ${haraka.slice(0, 200)}`);
    else subjects.push(haraka);
  }
  if (wanted.has("haproxy")) {
    const found = await ensureDebian("haproxy", "haproxy");
    if ("missing" in found) console.log(`without HAProxy: ${found.missing}`);
    else
      subjects.push(await startHaproxy({ program: found.path, port: await freePort(), sinkPort }));
  }
  return subjects;
}

async function startOurs(sinkPort: number): Promise<Subject> {
  const relay = relayProcess({ keepLog: false, environment: imageEnvironment() });
  const host = { host: "127.0.0.1", port: sinkPort };
  relay.routes("bench.yaml", [hostsRoute("bench", { suffixes: ["bench.test"] }, [host])]);
  await relay.start();
  return {
    name: "Mailroute",
    syncs: true,
    port: relay.port() ?? 0,
    pid: relay.pid(),
    async queued() {
      const text = await (await fetch(`http://127.0.0.1:${relay.adminPort()}/metrics`)).text();
      return Number(/^mailroute_queue_messages (\d+)/m.exec(text)?.[1]);
    },
    close: () => relay.close(),
  };
}

function note({ body, atMs }: Received): void {
  const head = body.toString("latin1", 0, 2000);
  arrivals.set(Number(/^X-Ledger: (\d+)/m.exec(head)?.[1]), atMs);
}

function print(title: string, rows: readonly object[]): void {
  if (values.json) {
    console.log(JSON.stringify({ load: title, rows }));
    return;
  }
  console.log(`\n${title}`);
  console.table(rows);
}
