/**
 * `npm run bench:queue [-- --json] [--messages N] [--seconds N] [--rounds N] [--rest N]`: a relay starts on a spool of
 * so many messages for 2,000 destinations, of which 1,900 are dead (half refuse connections, half never greet), beside
 * the same without the dead: start-up, memory, event-loop delay, and how fast the living ones' mail flows. New mail
 * comes `--rest` seconds after their old mail. They take turns: how quick a process is at first is V8's chance.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Change } from "../../relay/spool/changes.ts";
import { checksum, type Envelope } from "../../relay/spool/records.ts";
import { Spool } from "../../relay/spool/spool.ts";
import { startGenerator } from "../ledger/generator.ts";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { startSink } from "../ledger/sink.ts";
import { optionsOf } from "../options.ts";
import { imageEnvironment } from "./image-environment.ts";
import { ownMemoryMb, treeCost, watchMemory } from "./process-cost.ts";

const values = optionsOf(import.meta.filename, {
  messages: { type: "string", default: "200000" },
  seconds: { type: "string", default: "15" },
  rounds: { type: "string", default: "3" },
  rest: { type: "string", default: "0" },
  json: { type: "boolean", default: false },
});
const messages = Number(values.messages);
if (!(messages >= 2000 && messages <= 1_000_000))
  throw new RangeError("--messages: 2000 to 1000000");
const seconds = Number(values.seconds);
if (!(seconds >= 1 && seconds <= 600)) throw new RangeError("--seconds: 1 to 600");
const rounds = Number(values.rounds);
if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100))
  throw new RangeError("--rounds: 1 to 100");
const restSeconds = Number(values.rest);
if (!(restSeconds >= 0 && restSeconds <= 3600)) throw new RangeError("--rest: 0 to 3600");

const destinations = 2000;
const living = 100;
/** Every so many-th destination lives. */
const livingEvery = destinations / living;
const bodyBytes = 4096;
const perCommit = 500;
const body = Buffer.from(`Subject: waits\r\n\r\n${"x".repeat(70)}\r\n`.padEnd(bodyBytes, "y"));
const owner = "relay.test";

type Numbers = {
  readonly queued: number;
  /** From the process's beginning until it listens. */
  readonly startMs: number;
  /** Processor time until then: what others do on the machine does not count. */
  readonly startCpuMs: number;
  /** The most of its own that it took. */
  readonly memoryMb: number;
  /** The living ones' mail that was on disk: until the last has arrived, from when it listens. */
  readonly drainedMs: number;
  readonly drainedPerSecond: number;
  /** New mail for the living ones, over `seconds`. */
  readonly answeredPerSecond: number;
  readonly arrivedPerSecond: number;
  /** Processor time of the relay for each of them, with all that it does beside. */
  readonly cpuMsPerMessage: number;
  readonly loopDelayMeanMs: number;
  readonly loopDelayP99Ms: number;
};

const silent = await holdConnections();
let arrived = 0;
const sink = await startSink({
  host: "0.0.0.0",
  received: () => {
    arrived += 1;
    return undefined;
  },
});
try {
  const alone: Numbers[] = [];
  const beside: Numbers[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const first = { list: alone, dead: 0 };
    const second = { list: beside, dead: destinations - living };
    const turns = round % 2 === 0 ? [first, second] : [second, first];
    for (const { list, dead } of turns) list.push(await measure({ dead }));
  }
  report({ alone: middleOf(alone), beside: middleOf(beside) });
} finally {
  await sink.close();
  silent.close();
}
process.exit();

function middleOf(all: readonly Numbers[]): Numbers {
  const [first] = all;
  if (first === undefined) throw new RangeError("nothing was measured");
  const names = Object.keys(first) as (keyof Numbers)[];
  const middle = (name: keyof Numbers): number =>
    all.map((each) => each[name]).toSorted((a, b) => a - b)[all.length >> 1] ?? Number.NaN;
  return Object.fromEntries(names.map((name) => [name, middle(name)])) as Numbers;
}

async function measure({ dead }: { readonly dead: number }): Promise<Numbers> {
  const { admin, ...relay } = siteOf(dead);
  const filled = await fill(join(relay.directory, "spool"), dead);
  arrived = 0;
  const spawnedMs = performance.now();
  try {
    await relay.start();
    const startMs = Math.round(performance.now() - spawnedMs);
    const startCpuMs = treeCost(relay.pid()).cpuMs;
    const numbers = await underLoad(relay, { admin, filled });
    return { queued: filled.living + filled.dead, startMs, startCpuMs, ...numbers };
  } finally {
    await relay.close();
  }
}

type Filled = { readonly living: number; readonly dead: number };

async function underLoad(
  relay: Omit<RelayProcess, "admin">,
  { admin, filled }: { admin: () => number; filled: Filled },
): Promise<Omit<Numbers, "queued" | "startMs" | "startCpuMs">> {
  const memory = watchMemory(() => ownMemoryMb(relay.pid()));
  const startedMs = performance.now();
  await eventually(() => arrived >= filled.living, {
    msMax: 600_000,
    what: "the living ones' mail",
  });
  const drainedMs = performance.now() - startedMs;
  await sleep(restSeconds * 1000);
  const before = arrived;
  const generator = startGenerator({
    port: () => relay.port(),
    connections: 20,
    messagesPerSecond: 0,
    bodyBytes,
    address(number) {
      const domain = nameOf((number % living) * livingEvery);
      return { to: `u@${domain}`, domain };
    },
  });
  const cpuBeforeMs = treeCost(relay.pid()).cpuMs;
  await sleep(seconds * 1000);
  const arrivedMeanwhile = arrived - before;
  const cpuMs = treeCost(relay.pid()).cpuMs - cpuBeforeMs;
  await generator.stop();
  const answered = generator.entries.filter((entry) => entry.answered).length;
  const metrics = await (await fetch(`http://127.0.0.1:${admin()}/metrics`)).text();
  const metric = (name: string): number =>
    Number(new RegExp(`^${name} (\\S+)`, "m").exec(metrics)?.[1] ?? Number.NaN);
  const inMs = (name: string): number => Number((metric(name) * 1000).toFixed(1));
  return {
    memoryMb: memory.stop(),
    drainedMs: Math.round(drainedMs),
    drainedPerSecond: Math.round(filled.living / (drainedMs / 1000)),
    answeredPerSecond: Math.round(answered / seconds),
    arrivedPerSecond: Math.round(arrivedMeanwhile / seconds),
    cpuMsPerMessage: Number((cpuMs / arrivedMeanwhile).toFixed(2)),
    loopDelayMeanMs: inMs("nodejs_eventloop_lag_mean_seconds"),
    loopDelayP99Ms: inMs("nodejs_eventloop_lag_p99_seconds"),
  };
}

/** Destinations are hosts of their own on loopback addresses: 127.1.x.y. */
function siteOf(dead: number) {
  const relay = relayProcess({
    keepLog: false,
    startMsMax: 300_000,
    environment: imageEnvironment(),
    // Five minutes by default: the bench waits less for those that never greet.
    delivery: { greetingMsMax: 20_000 },
  });
  const routes = numbersOf(dead).map((number) => {
    const host = `127.1.${Math.floor(number / 250)}.${(number % 250) + 1}`;
    const isLiving = number % livingEvery === 0;
    const port = isLiving ? sink.port : number % 2 === 0 ? silent.port : 1;
    const spec = { domains: [nameOf(number)] };
    return hostsRoute(`d${number}`, spec, [{ host, port }]);
  });
  relay.routes("all.yaml", routes);
  return { ...relay, admin: relay.adminPort };
}

/** Of the destinations that there are; without the dead the living ones only. */
function numbersOf(dead: number): number[] {
  const all = Array.from({ length: destinations }, (_, number) => number);
  return dead > 0 ? all : all.filter((number) => number % livingEvery === 0);
}

function nameOf(number: number): string {
  return `d${number}.test`;
}

async function fill(directory: string, dead: number): Promise<Filled> {
  const numbers = numbersOf(dead);
  const perDestination = Math.floor(messages / destinations);
  const limits = { bytesMax: 1e12, messagesMax: 10_000_000, freeBytesMin: 0 };
  const spool = await Spool.open({ directory, owner, limits });
  const total = perDestination * (living + dead);
  for (let number = 0; number < total; number += perCommit) {
    const count = Math.min(perCommit, total - number);
    await spool.commit(
      Array.from({ length: count }, (_, index) => accepted(number + index, numbers)),
    );
  }
  await spool.close();
  return { living: perDestination * living, dead: perDestination * dead };
}

function accepted(number: number, numbers: readonly number[]): Change {
  const nowMs = Date.now();
  const domain = nameOf(numbers[number % numbers.length] ?? 0);
  const expiresAtMs = nowMs + 432_000_000;
  const envelope: Envelope = {
    id: `Q${String(number).padStart(12, "0")}`,
    session: "s",
    client: "192.0.2.1",
    trusted: true,
    sender: `s${number % 50}@sender.test`,
    recipients: [
      { address: `u@${domain}`, key: `domain:${domain}`, expiresAtMs, warnAtMs: expiresAtMs },
    ],
    arrivedAtMs: nowMs,
    bytes: body.length,
    crc: checksum(body),
    eightBit: false,
    smtputf8: false,
  };
  return { kind: "accept", envelope, body };
}

/** Takes connections and never says a word. */
async function holdConnections() {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
  }).listen(0, "0.0.0.0");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function report(numbers: { readonly alone: Numbers; readonly beside: Numbers }): void {
  if (values.json) {
    console.log(JSON.stringify(numbers));
    return;
  }
  console.table({ "living only": numbers.alone, "with the dead": numbers.beside });
  const { alone, beside } = numbers;
  const ratio = beside.arrivedPerSecond / alone.arrivedPerSecond;
  const perMessage = ((beside.memoryMb - alone.memoryMb) * 1024) / (beside.queued - alone.queued);
  console.log(`new mail beside the dead: ${ratio.toFixed(2)} of its speed without them`);
  console.log(`memory for each message more: ${perMessage.toFixed(2)} KiB`);
}
