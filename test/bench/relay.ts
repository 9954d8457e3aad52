/**
 * `npm run bench:relay [-- --json] [--messages N]`: what a message costs us and Postfix, in turns within one
 * run on this machine: Debian's smtp-source drives, its smtp-sink takes, both relays sync before 250.
 * Prints accepted messages per second, CPU-ms per message (receiving and delivering), peak memory, and
 * end-to-end latency at a low steady rate. Ratios count; absolute numbers are this machine's.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { parseArgs } from "node:util";
import { startGenerator } from "../ledger/generator.ts";
import { eventually, hostsRoute, relayProcess } from "../ledger/relay-process.ts";
import { startSink } from "../ledger/sink.ts";
import { ensureDebian } from "../peers/debian.ts";
import { startPostfix } from "./postfix.ts";
import { treeCost, watchMemory } from "./process-cost.ts";

type Throughput = {
  readonly acceptedPerSecond: number;
  readonly cpuMsPerMessage: number;
  readonly peakRssMb: number;
};
type Latency = { readonly p50Ms: number; readonly p99Ms: number };
type Result = Throughput & Latency;

/** A relay under test: ours or a peer. */
type Subject = { readonly port: number; readonly pid: number; queued(): Promise<number> | number };

type Load = {
  readonly name: string;
  readonly bytes: number;
  readonly sessions: number;
  readonly messages: number;
};

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    messages: { type: "string", default: "20000" },
    rounds: { type: "string", default: "3" },
  },
});

const loads: readonly Load[] = [
  { name: "4 KiB, 50 kept sessions", bytes: 4096, sessions: 50, messages: Number(values.messages) },
];

/** One run of the load: until all is accepted for the rate, until all is delivered for the cost. */
async function measure(subject: Subject, load: Load): Promise<Throughput> {
  const before = treeCost(subject.pid);
  const memory = watchMemory(subject.pid);
  const startedMs = performance.now();
  const flags = [
    "-s",
    load.sessions,
    "-m",
    load.messages,
    "-l",
    load.bytes,
    "-d",
    "-f",
    "a@sender.test",
    "-t",
    "b@bench.test",
  ];
  const source = spawn("smtp-source", [...flags.map(String), `127.0.0.1:${subject.port}`], {
    stdio: "inherit",
  });
  const [code] = (await once(source, "exit")) as [number];
  if (code !== 0) throw new Error(`smtp-source ended with ${code}`);
  const acceptedMs = performance.now() - startedMs;
  await eventually(async () => (await subject.queued()) === 0, {
    msMax: 300_000,
    what: "the queue is empty",
  });
  return {
    acceptedPerSecond: Math.round((load.messages * 1000) / acceptedMs),
    cpuMsPerMessage: Number(
      ((treeCost(subject.pid).cpuMs - before.cpuMs) / load.messages).toFixed(3),
    ),
    peakRssMb: memory.stop(),
  };
}

/** End to end at 50 messages/s: from MAIL to the next hop's having it. */
async function latency(subject: Subject, arrivals: Map<number, number>): Promise<Latency> {
  arrivals.clear();
  const generator = startGenerator({
    port: () => subject.port,
    connections: 4,
    messagesPerSecond: 50,
    bodyBytes: 4096,
    address: () => ({ to: "b@latency.test", domain: "latency.test" }),
  });
  await eventually(() => generator.entries.length >= 500, {
    msMax: 30_000,
    what: "500 messages are sent",
  });
  await generator.stop();
  const answered = generator.entries.filter((entry) => entry.answered);
  await eventually(() => answered.every(({ number }) => arrivals.has(number)), {
    msMax: 60_000,
    what: "all have arrived",
  });
  const took = answered
    .map(({ number, sentMs }) => (arrivals.get(number) ?? 0) - sentMs)
    .sort((a, b) => a - b);
  const at = (share: number): number =>
    Number((took[Math.floor(took.length * share)] ?? 0).toFixed(2));
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

async function smtpSink(): Promise<{ port: number; process: ChildProcess }> {
  const port = await freePort();
  const process = spawn("smtp-sink", ["-u", "nobody", `127.0.0.1:${port}`, "1000"], {
    stdio: "inherit",
  });
  await eventually(async () => await answers(port), { msMax: 5000, what: "smtp-sink listens" });
  return { port, process };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("data", () => resolve(socket.destroy().destroyed));
    socket.once("error", () => resolve(false));
  });
}

async function queueSize(adminPort: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  return Number(/^mailroute_queue_messages (\d+)/m.exec(text)?.[1]);
}

/** The middle one of several rounds, by accepted messages per second. */
function median(rounds: readonly Throughput[]): Throughput {
  const sorted = rounds.toSorted((a, b) => a.acceptedPerSecond - b.acceptedPerSecond);
  return sorted[sorted.length >> 1] as Throughput;
}

async function main(): Promise<void> {
  const debian = await ensureDebian("postfix", "smtp-source");
  if ("missing" in debian)
    throw new Error(`the benchmark needs Debian's package postfix: ${debian.missing}`);
  const bulk = await smtpSink();
  const arrivals = new Map<number, number>();
  const timed = await startSink({
    received: ({ body, atMs }) =>
      void arrivals.set(
        Number(/^X-Ledger: (\d+)/m.exec(body.toString("latin1", 0, 2000))?.[1]),
        atMs,
      ),
  });
  const relay = relayProcess({ keepLog: false });
  const to = (port: number) => [{ host: "127.0.0.1", port }];
  relay.routes("bench.yaml", [
    hostsRoute("bench", { suffixes: ["bench.test"] }, to(bulk.port)),
    hostsRoute("latency", { suffixes: ["latency.test"] }, to(timed.port)),
  ]);
  await relay.start();
  const bulkPostfix = startPostfix({ port: await freePort(), sinkPort: bulk.port });
  const timedPostfix = startPostfix({ port: await freePort(), sinkPort: timed.port });
  try {
    const ours: Subject = {
      port: relay.port() ?? 0,
      pid: relay.pid(),
      queued: () => queueSize(relay.adminPort()),
    };
    for (const load of loads) {
      const rounds: Record<"ours" | "postfix", Throughput[]> = { ours: [], postfix: [] };
      for (let round = 0; round < Number(values.rounds); round++) {
        rounds.ours.push(await measure(ours, load));
        rounds.postfix.push(await measure(bulkPostfix, load));
      }
      const result = {
        load: load.name,
        ours: { ...median(rounds.ours), ...(await latency(ours, arrivals)) },
        postfix: { ...median(rounds.postfix), ...(await latency(timedPostfix, arrivals)) },
      };
      report(result);
    }
  } finally {
    bulkPostfix.close();
    timedPostfix.close();
    bulk.process.kill();
    await relay.close();
    await timed.close();
  }
}

function report(result: { load: string; ours: Result; postfix: Result }): void {
  if (values.json) {
    console.log(JSON.stringify(result));
    return;
  }
  console.log(result.load);
  for (const field of [
    "acceptedPerSecond",
    "cpuMsPerMessage",
    "peakRssMb",
    "p50Ms",
    "p99Ms",
  ] as const) {
    const [ours, postfix] = [result.ours[field], result.postfix[field]];
    console.log(
      `  ${field.padEnd(18)} ours ${String(ours).padStart(8)}   postfix ${String(postfix).padStart(8)}   ratio ${(ours / postfix).toFixed(2)}`,
    );
  }
}

await main();
process.exit(0);
