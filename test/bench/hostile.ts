/**
 * `npm run bench:hostile [-- --json] [--seconds N]`: what hostile clients cost a good one. 2,000 idle
 * connections, 500 that send a byte a second, 200 that flood commands and 100 that guess passwords, all at
 * once; a good client's latency beside its quiet time, and the relay's memory and file descriptors before,
 * during and after. The clients run in a process of their own; both share the machine's processors, so the
 * ratio is an upper bound.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hashPassword } from "../../relay/auth/password-hash.ts";
import { greeted, hand } from "../acceptance/client.ts";
import {
  hostsRoute,
  type ProcessOptions,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { startSink } from "../ledger/sink.ts";
import { optionsOf } from "../options.ts";
import { startDripping, startFlooding, startGuessing, startIdle } from "./hostile-clients.ts";
import { imageEnvironment } from "./image-environment.ts";
import { treeCost } from "./process-cost.ts";

const values = optionsOf(import.meta.filename, {
  json: { type: "boolean", default: false },
  seconds: { type: "string", default: "20" },
  clients: { type: "string" },
});

/** What the good client sends in each phase. */
const messagesPerSecond = 20;
const seconds = Number(values.seconds);
const text = `${"x".repeat(70)}\r\n`.repeat(57);

type Phase = {
  readonly phase: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly answered: number;
  readonly refused: number;
  readonly rssMb: number;
  readonly descriptors: number;
};

if (values.clients === undefined) await main();
else await beHostile(Number(values.clients));

/** In the forked process: until its parent says so. */
async function beHostile(port: number): Promise<void> {
  const crowds = [
    startIdle({ port, clients: 2000, localAddress: "127.0.1.1" }),
    startDripping({ port, clients: 500, localAddress: "127.0.1.2" }),
    startFlooding({ port, clients: 200, localAddress: "127.0.1.3" }),
    startGuessing({ port, clients: 100, localAddress: "127.0.1.4" }),
  ];
  // Without a parent it is over: nobody else would end it.
  process.once("disconnect", () => process.exit(1));
  process.send?.("begun");
  await once(process, "message");
  await Promise.all(crowds.map(async (crowd) => await crowd.stop()));
  process.exit();
}

async function main(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-hostile-"));
  const sink = await startSink({ received: () => undefined });
  const relay = relayProcess(await configuration(directory));
  relay.routes("all.yaml", [
    hostsRoute("good", { suffixes: ["good.test"] }, [{ host: "127.0.0.1", port: sink.port }]),
    hostsRoute("open", { suffixes: ["open.test"] }, [{ host: "127.0.0.1", port: sink.port }], {
      access: "Anyone",
    }),
  ]);
  await relay.start();
  try {
    await measure(relay, "warm-up");
    const before = await measure(relay, "before");
    const crowd = fork(import.meta.filename, ["--clients", String(relay.port())]);
    await once(crowd, "message");
    await sleep(5000); // all are connected
    const during = await measure(relay, "during");
    crowd.send("stop");
    await once(crowd, "exit");
    await sleep(5000);
    const after = await measure(relay, "after");
    report([before, during, after]);
  } finally {
    await relay.close();
    await sink.close();
    rmSync(directory, { recursive: true });
  }
}

async function configuration(directory: string): Promise<ProcessOptions> {
  const fixtures = join(import.meta.dirname, "../../relay/listener/fixtures");
  const file = (name: string): string => join(directory, name);
  for (const part of ["cert", "key"])
    copyFileSync(join(fixtures, `mx.${part}.pem`), file(`${part}.pem`));
  const hash = await hashPassword("not to be guessed");
  writeFileSync(file("users.yaml"), `users: [{name: admin, password: "${hash}", senders: {}}]\n`);
  return {
    keepLog: false,
    environment: imageEnvironment(),
    tls: { certificates: [{ certificateFile: file("cert.pem"), keyFile: file("key.pem") }] },
    authentication: { usersFile: file("users.yaml") },
    // The crowds come from four addresses: in life from thousands.
    limits: { connectionsPerClientMax: 2500, messagesPerClientMinuteMax: 100_000 },
  };
}

/** The good client's time from MAIL to 250, one message after the other at a steady rate, over one connection. */
async function measure(relay: RelayProcess, phase: string): Promise<Phase> {
  const times: number[] = [];
  const client = await greeted(relay.port());
  const endMs = performance.now() + seconds * 1000;
  let refused = 0;
  while (performance.now() < endMs) {
    const startedMs = performance.now();
    const { data } = await hand(client, { to: ["user@good.test"], text });
    if (data.startsWith("250")) times.push(performance.now() - startedMs);
    else refused += 1;
    await sleep(Math.max(0, startedMs + 1000 / messagesPerSecond - performance.now()));
  }
  const { rssMb } = treeCost(relay.pid());
  const descriptors = readdirSync(`/proc/${relay.pid()}/fd`).length;
  client.socket.destroy();
  times.sort((a, b) => a - b);
  const at = (share: number): number =>
    Number((times[Math.floor(times.length * share)] ?? Number.NaN).toFixed(2));
  return {
    phase,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    answered: times.length,
    refused,
    rssMb: Math.round(rssMb),
    descriptors,
  };
}

function report(phases: readonly [Phase, Phase, Phase]): void {
  const [before, during, after] = phases;
  const ratio = Number((during.p50Ms / before.p50Ms).toFixed(2));
  if (values.json) {
    console.log(JSON.stringify({ phases, p50Ratio: ratio }));
    return;
  }
  console.table(phases);
  console.log(`p50 of the good client: ${ratio} times its quiet time (goal: under 2)`);
  console.log(`memory at the worst: ${during.rssMb} MB (goal: under 300)`);
  const left = after.descriptors - before.descriptors;
  console.log(`descriptors left over: ${left} (goal: 0)`);
}
