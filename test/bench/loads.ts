/** What the benchmark sends, and what a relay's taking and delivering it costs. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { eventually } from "../ledger/relay-process.ts";
import { writtenBytes } from "./disk.ts";
import { treeCost, watchMemory } from "./process-cost.ts";
import type { Subject } from "./subject.ts";

export type Load = {
  readonly name: string;
  readonly bytes: number;
  readonly sessions: number;
  readonly messages: number;
  readonly recipients: number;
  /** A connection is kept for many messages; else each has one of its own. */
  readonly kept: boolean;
};

export type Cost = {
  readonly acceptedPerSecond: number;
  readonly cpuMsPerMessage: number;
  readonly peakMb: number;
  readonly writtenPerByte: number;
};

const usual = { sessions: 50, recipients: 1, kept: true };
const emptiedMsMax = 600_000;
/** To ask costs the relay something, which is not to be measured. */
const emptiedEveryMs = 250;

/** `share` of the usual counts. */
export function loadsOf(share: number): readonly Load[] {
  const count = (messages: number): number => Math.max(50, Math.round(messages * share));
  return [
    { ...usual, name: "4 KiB, kept connections", bytes: 4096, messages: count(20_000) },
    {
      ...usual,
      name: "4 KiB, a connection each",
      bytes: 4096,
      messages: count(8000),
      kept: false,
    },
    { ...usual, name: "64 KiB", bytes: 65_536, messages: count(4000) },
    { ...usual, name: "1 MiB", bytes: 1_048_576, messages: count(500), sessions: 20 },
    { ...usual, name: "4 KiB, 10 recipients", bytes: 4096, messages: count(4000), recipients: 10 },
  ];
}

/** Debian's smtp-source and smtp-sink cost more than a relay does from here on, and would be what is measured. */
const bigBytesMin = 65_536;

export function isBig({ bytes }: Load): boolean {
  return bytes >= bigBytesMin;
}

/** One run: until all is accepted for the rate, until all is delivered for the cost. */
export async function measure(subject: Subject, load: Load): Promise<Cost> {
  const { messages, bytes } = load;
  const before = treeCost(subject.pid);
  const writtenBefore = writtenBytes();
  const memory = watchMemory(() => treeCost(subject.pid).rssMb);
  const acceptedMs = await accepted(load, subject);
  await eventually(async () => (await subject.queued()) === 0, {
    msMax: emptiedMsMax,
    everyMs: emptiedEveryMs,
    what: `${subject.name} has delivered everything`,
  });
  const cpuMs = treeCost(subject.pid).cpuMs - before.cpuMs;
  const written = writtenBytes() - writtenBefore;
  return {
    acceptedPerSecond: Math.round((messages * 1000) / acceptedMs),
    cpuMsPerMessage: Number((cpuMs / messages).toFixed(3)),
    peakMb: memory.stop(),
    writtenPerByte: Number((written / (messages * bytes)).toFixed(2)),
  };
}

/** From the first connection to the last answer, in ms. */
async function accepted(load: Load, { name, port }: Subject): Promise<number> {
  const startedMs = performance.now();
  const source = startSource(load, port);
  let said = "";
  source.stdout?.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const [code] = (await once(source, "close")) as [number];
  if (code !== 0) throw new Error(`the source ended with ${code} at ${name}`);
  return isBig(load) ? Number(said) : performance.now() - startedMs;
}

function startSource(load: Load, port: number): ChildProcess {
  const { sessions, messages, bytes, recipients, kept } = load;
  const stdio: StdioOptions = ["ignore", "pipe", "inherit"];
  if (isBig(load)) {
    if (recipients !== 1 || !kept)
      throw new Error("big-source keeps connections, for one recipient");
    const program = join(import.meta.dirname, "big-source.ts");
    const numbers = [port, sessions, messages, bytes].map(String);
    return spawn(process.execPath, [program, ...numbers], { stdio });
  }
  const counts = ["-s", sessions, "-m", messages, "-l", bytes, "-r", recipients];
  const flags = [...(kept ? ["-d"] : []), "-f", "a@sender.test", "-t", "b@bench.test"];
  const args = [...counts.map(String), ...flags, `127.0.0.1:${port}`];
  return spawn("smtp-source", args, { stdio });
}

/** The middle one of several rounds, by accepted messages per second. */
export function median(rounds: readonly Cost[]): Cost {
  const sorted = rounds.toSorted((a, b) => a.acceptedPerSecond - b.acceptedPerSecond);
  return sorted[sorted.length >> 1] as Cost;
}
