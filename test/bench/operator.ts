/**
 * `npm run bench:operator [-- --json] [--routes N] [--changes N] [--quiet-seconds N] [--profile DIR]`: 10,000
 * MailRoutes with 100,000 domains on a real API server, the operator and two relays as processes. Prints how long the
 * first table and one changed MailRoute take to the relays, how long statuses take, what the operator needs, and what
 * it asks of the API server. Goals: 20 s to the first table, 1 s for a change, 400 MB, no write while nothing changes.
 * Everything runs on one machine: with others at work on it only processor time, memory and requests say much.
 */
import { loadavg } from "node:os";
import { eventually } from "../ledger/relay-process.ts";
import { optionsOf } from "../options.ts";
import { freePort } from "../peers/ports.ts";
import { report } from "./operator-report.ts";
import {
  createRoutes,
  createTeams,
  domainsPerRoute,
  editRoute,
  idOf,
  type Programmed,
  watchProgrammed,
} from "./operator-routes.ts";
import {
  type BenchOperator,
  type BenchRelay,
  openSite,
  type Site,
  startBenchOperator,
  startRelays,
} from "./operator-site.ts";
import { type Phase, startPhase } from "./operator-traffic.ts";

const values = optionsOf(import.meta.filename, {
  json: { type: "boolean", default: false },
  routes: { type: "string", default: "10000" },
  changes: { type: "string", default: "10" },
  "quiet-seconds": { type: "string", default: "60" },
  profile: { type: "string" },
});
const routes = Number(values.routes);
const startMsMax = 300_000;
const changeMsMax = 60_000;
/** For the operator to have asked the relays, and to be still again. */
const settleMs = 3000;

export type Result = {
  readonly routes: number;
  readonly domains: number;
  /** Of the machine before anything was started: what others did there. */
  readonly loadBefore: number;
  readonly createMs: number;
  readonly first: Started;
  readonly changes: Changes;
  readonly restart: { readonly firstPassMs: number };
  readonly peakMb: { readonly first: number; readonly all: number; readonly restarted: number };
  readonly relayBlockMs: {
    readonly quiet: number;
    readonly whole: number;
    readonly change: number;
  };
  readonly phases: Readonly<Record<"start" | "changes" | "quiet" | "restart", Phase>>;
};

type Started = {
  /** From the operator's start, like all of these. */
  readonly publishedMs: number;
  readonly relaysMs: number;
  readonly programmedMs: number;
};

type Changes = {
  readonly count: number;
  readonly relaysMsMedian: number;
  readonly relaysMsMax: number;
  readonly programmedMsMedian: number;
  readonly programmedMsMax: number;
};

type Running = {
  readonly site: Site;
  readonly relays: readonly BenchRelay[];
  readonly programmed: Programmed;
  readonly operator: BenchOperator;
};

/** From nothing published to every status written. */
async function firstTable({ relays, programmed, operator }: Running): Promise<Started> {
  const { startedMs } = operator;
  const published = () => operator.events.find(({ event }) => event === "published")?.timeMs;
  await eventually(() => published() !== undefined, { msMax: startMsMax, what: "a table" });
  await Promise.all(relays.map(async ({ started }) => await started));
  const servedMs = relays.map((relay) => relay.tableSince(startedMs) ?? Number.NaN);
  await eventually(() => programmed.generations.size === routes, {
    msMax: startMsMax,
    what: "every MailRoute is Programmed",
  });
  return {
    publishedMs: (published() ?? Number.NaN) - startedMs,
    relaysMs: Math.max(...servedMs) - startedMs,
    programmedMs: Date.now() - startedMs,
  };
}

/** One edit after the other, each awaited at both relays and in the status. */
async function change(running: Running): Promise<Changes & { readonly blockMsMax: number }> {
  const { site, relays, programmed } = running;
  const relaysMs: number[] = [];
  const programmedMs: number[] = [];
  let blockMsMax = 0;
  for (let edit = 1; edit <= Number(values.changes); edit++) {
    await longestBlockMs(relays);
    const number = (edit * 7919) % routes;
    const editedMs = Date.now();
    const generation = await editRoute(site.cluster.api, number, edit);
    const served = () => relays.map((relay) => relay.tableSince(editedMs) ?? Number.NaN);
    await eventually(() => served().every(Number.isFinite), {
      msMax: changeMsMax,
      what: "the edit counts",
    });
    relaysMs.push(Math.max(...served()) - editedMs);
    await eventually(() => programmed.generations.get(idOf(number)) === generation, {
      msMax: changeMsMax,
      what: "the edit is Programmed",
    });
    programmedMs.push(Date.now() - editedMs);
    await sleep(settleMs);
    blockMsMax = Math.max(blockMsMax, await longestBlockMs(relays));
  }
  return {
    count: relaysMs.length,
    relaysMsMedian: median(relaysMs),
    relaysMsMax: Math.max(...relaysMs),
    programmedMsMedian: median(programmedMs),
    programmedMsMax: Math.max(...programmedMs),
    blockMsMax,
  };
}

async function longestBlockMs(relays: readonly BenchRelay[]): Promise<number> {
  return Math.max(...(await Promise.all(relays.map(async (relay) => await relay.blockMs()))));
}

async function sameDigests(relays: readonly BenchRelay[], operator: BenchOperator): Promise<void> {
  const last = operator.events.findLast(({ event }) => event === "published")?.["digest"];
  for (const { name, digest } of relays) {
    if ((await digest()) !== last)
      throw new Error(`${name} does not serve what was published last`);
  }
}

/** Another process takes the published table over: it has nothing to write. */
async function restarted(operator: BenchOperator): Promise<number> {
  const hasKeys = async () => (await operator.metric("mailroute_operator_keys")) > 0;
  await eventually(hasKeys, { msMax: startMsMax, what: "its first pass" });
  const firstPassMs = Date.now() - operator.startedMs;
  await sleep(settleMs * 2);
  return firstPassMs;
}

async function measure(site: Site, createMs: number): Promise<Result> {
  const relayPort = await freePort();
  const relays = await startRelays(site, relayPort);
  const programmed = watchProgrammed(site.cluster.api);
  const { profile } = values;
  let operator: BenchOperator | undefined;
  try {
    await longestBlockMs(relays);
    const cpuMs = (): number => operator?.cpuMs() ?? 0;
    let phase = startPhase(site, cpuMs);
    operator = startBenchOperator(site, { identity: "operator-0", relayPort, profile });
    const running = { site, relays, programmed, operator };
    const first = await firstTable(running);
    const wholeMs = await longestBlockMs(relays);
    const firstMb = operator.peakMb();
    await sleep(settleMs);
    const start = phase.end();
    phase = startPhase(site, cpuMs);
    const { blockMsMax, ...changes } = await change(running);
    const changed = phase.end();
    await sameDigests(relays, operator);
    await longestBlockMs(relays);
    phase = startPhase(site, cpuMs);
    await sleep(Number(values["quiet-seconds"]) * 1000);
    const quiet = phase.end();
    const quietMs = await longestBlockMs(relays);
    const allMb = operator.peakMb();
    await operator.stop();
    operator = undefined;
    phase = startPhase(site, cpuMs);
    operator = startBenchOperator(site, { identity: "operator-1", relayPort });
    const firstPassMs = await restarted(operator);
    return {
      routes,
      domains: routes * domainsPerRoute,
      loadBefore,
      createMs,
      first,
      changes,
      restart: { firstPassMs },
      peakMb: { first: firstMb, all: allMb, restarted: operator.peakMb() },
      relayBlockMs: { quiet: quietMs, whole: wholeMs, change: blockMsMax },
      phases: { start, changes: changed, quiet, restart: phase.end() },
    };
  } finally {
    await operator?.stop();
    programmed.stop();
    for (const relay of relays) await relay.process.close();
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0;
}

const [loadBefore = 0] = loadavg();
const site = await openSite();
try {
  const fromMs = Date.now();
  await createTeams(site.cluster);
  await createRoutes(site.cluster.api, routes);
  const result = await measure(site, Date.now() - fromMs);
  if (values.json) console.log(JSON.stringify(result));
  else report(result);
} finally {
  await site.close();
}
process.exit(0);
