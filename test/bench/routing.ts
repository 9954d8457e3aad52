/**
 * How large and how fast a route table is: one million suffixes as a relay would hold them (decoded shard
 * by shard), look-ups over mixed addresses, and the compile of 10,000 MailRoutes with 100,000 domains.
 * `npm run bench:routing [-- --json]`; goals: 1 µs a look-up, 200 MB for the process with the table.
 * Each measure runs in a process of its own, so that none pays for the garbage of another.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { gunzipSync, gzipSync } from "node:zlib";
import { type Address, parseAddress } from "../../routing/address.ts";
import { compile } from "../../routing/compile.ts";
import { keyOf } from "../../routing/key.ts";
import { match } from "../../routing/match.ts";
import { routeIdOf } from "../../routing/parse-route.ts";
import { type Route, retryDefaults } from "../../routing/route.ts";
import { keyCount, routeCount } from "../../routing/table.ts";
import { buildTable } from "../../routing/table-builder.ts";
import {
  assembleTable,
  type DecodedShard,
  decodeManifest,
  decodeShardOf,
  encode,
} from "../../routing/wire.ts";
import { Interner } from "../../routing/wire-shard.ts";
import { optionsOf } from "../options.ts";

const suffixCount = 1_000_000;
const routeTotal = 10_000;
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const words = [
  "mail",
  "shop",
  "north",
  "blue",
  "cargo",
  "delta",
  "ocean",
  "pixel",
  "river",
  "stone",
];

/** Names of 15 to 30 characters below a hundred parents, as customers' domains are. */
function suffixOf(number: number): string {
  const word = words[number % words.length];
  return `${word}-${number.toString(36)}.region${number % 100}.example`;
}

function write(directory: string): void {
  const routes = Array.from(
    { length: routeTotal },
    (_, number): Route => ({
      id: routeIdOf("mail", `route-${number}`),
      generation: 1,
      access: "Trusted",
      target: {
        kind: "hosts",
        hosts: [{ host: `mx${number}.example`, port: 25, priority: 10, weight: 1 }],
      },
      protocol: "SMTP",
      tls: { mode: "Opportunistic" },
      delivery: {},
      retry: retryDefaults,
    }),
  );
  function* entries() {
    for (let number = 0; number < suffixCount; number += 1) {
      const route = routeIdOf("mail", `route-${number % routeTotal}`);
      yield { key: keyOf("suffix", suffixOf(number)), senderKey: undefined, route };
    }
  }
  const table = buildTable({ entries: entries(), routes }, { shardCount: 512 });
  const { manifest, shards } = encode(table, {
    sha256,
    gzip: (bytes) => gzipSync(bytes, { level: 1 }),
  });
  for (const [name, bytes] of shards) writeFileSync(join(directory, name), bytes);
  writeFileSync(join(directory, "manifest"), JSON.stringify(manifest));
}

type LookUps = {
  readonly lookUpNs: number;
  readonly lookUpNsBest: number;
  readonly evenLookUpNs: number;
  readonly evenLookUpNsBest: number;
  readonly tableMb: number;
  readonly rssMb: number;
  readonly peakRssMb: number;
  readonly baseRssMb: number;
  readonly shards: number;
  readonly shardMsMean: number;
  readonly shardMsMax: number;
  readonly assembleMs: number;
};

function read(directory: string): LookUps {
  const baseHeapMb = process.memoryUsage().heapUsed / 2 ** 20;
  const baseRssMb = rss();
  let peakRssMb = 0;
  const manifest = decodeManifest(readFileSync(join(directory, "manifest"), "utf8"));
  const shards = new Map<string, DecodedShard>();
  const interner = new Interner();
  const times: number[] = [];
  for (const listed of manifest.shards) {
    const bytes = readFileSync(join(directory, listed.name));
    const from = performance.now();
    shards.set(listed.name, decodeShardOf(listed, bytes, { sha256, gunzip: gunzipSync, interner }));
    times.push(performance.now() - from);
    peakRssMb = Math.max(peakRssMb, rss());
  }
  const from = performance.now();
  const table = assembleTable(manifest, shards);
  const assembleMs = performance.now() - from;
  if (keyCount(table) !== suffixCount) throw new Error(`${keyCount(table)} keys`);
  const look = (recipient: Address) => match(table, { recipient, sender: undefined }).kind;
  const busy = timeLookUps("busy", look);
  const even = timeLookUps("even", look);
  settle();
  return {
    lookUpNs: busy.median,
    lookUpNsBest: busy.best,
    evenLookUpNs: even.median,
    evenLookUpNsBest: even.best,
    rssMb: rss(),
    tableMb:
      (process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers) / 2 ** 20 - baseHeapMb,
    peakRssMb: Math.max(peakRssMb, rss()),
    baseRssMb,
    shards: manifest.shards.length,
    shardMsMean: times.reduce((a, b) => a + b, 0) / times.length,
    shardMsMax: Math.max(...times),
    assembleMs,
  };
}

function rss(): number {
  return process.memoryUsage.rss() / 2 ** 20;
}

/**
 * Three in five hit a suffix itself, one a name below it, one nothing. `busy`: half of the mail goes to a
 * thousand domains, as mail does; otherwise every mail goes to another domain, anywhere in the table.
 */
function recipients(count: number, spread: "busy" | "even"): readonly Address[] {
  return Array.from({ length: count }, (_, number) => {
    const isBusy = spread === "busy" && (number >> 3) % 2 === 0;
    const suffix = suffixOf(isBusy ? number % 1000 : (number * 7919) % suffixCount);
    const kind = number % 5;
    const domain = kind < 3 ? suffix : kind === 3 ? `hq.eu.${suffix}` : `unknown${number}.test`;
    const local = number % 4 === 0 ? `user${number}+tag` : `user${number}`;
    const address = parseAddress(`${local}@${domain}`);
    if (address === undefined) throw new Error(`${local}@${domain}`);
    return address;
  });
}

/** Of rounds of 20,000 look-ups: the median round, and the fastest, which other processes disturb least. */
function timeLookUps(
  spread: "busy" | "even",
  look: (recipient: Address) => string,
): { readonly median: number; readonly best: number } {
  const list = recipients(20_000, spread);
  const rounds = 40;
  let hits = 0;
  for (const recipient of list) if (look(recipient) === "route") hits += 1;
  const times = Array.from({ length: rounds }, () => {
    const from = performance.now();
    for (const recipient of list) if (look(recipient) === "route") hits += 1;
    return ((performance.now() - from) * 1e6) / list.length;
  }).sort((a, b) => a - b);
  if (hits !== list.length * 0.8 * (rounds + 1)) throw new Error(`${hits} hits`);
  return { median: times[rounds / 2] ?? 0, best: times[0] ?? 0 };
}

/** What an idle process gives back by and by, at once. */
function settle(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options: object) => void;
  for (let round = 0; round < 3; round += 1) {
    collect({ type: "major", flavor: "last-resort", execution: "sync" });
  }
}

type CompileTimes = {
  readonly compileMs: number;
  readonly recompileMs: number;
  readonly encodeMs: number;
};

function compileTimes(): CompileTimes {
  const routes = Array.from({ length: routeTotal }, (_, number) => ({
    id: routeIdOf("mail", `route-${number}`),
    resource: {
      apiVersion: "mailroute.dev/v1alpha1",
      kind: "MailRoute",
      metadata: { name: `route-${number}`, namespace: "mail", generation: 1 },
      spec: {
        suffixes: Array.from({ length: 10 }, (__, part) => suffixOf(number * 10 + part)),
        target: { hosts: [{ host: `mx${number}.example` }] },
      },
    },
  }));
  const input = {
    grants: [],
    references: { secrets: new Map(), namespaces: new Map() },
    now: 0,
    installation: { namespace: "mail", className: "default", delegation: "required" as const },
    sha256,
  };
  let from = performance.now();
  const lap = () => {
    const elapsed = performance.now() - from;
    from = performance.now();
    return elapsed;
  };
  const first = compile({ ...input, routes, previous: undefined });
  const compileMs = lap();
  const edited = routes.with(7, {
    ...routes[7],
    resource: { ...routes[7]?.resource },
  } as (typeof routes)[number]);
  const second = compile({ ...input, routes: edited, previous: first.table });
  const recompileMs = lap();
  encode(second.table, { sha256, gzip: gzipSync });
  const encodeMs = lap();
  if (routeCount(second.table) !== routeTotal) throw new Error("routes are missing");
  return { compileMs, recompileMs, encodeMs };
}

/** A phase in a process of its own; it answers in a file, since others may print. */
function inChild<T>(phase: string, directory: string): T {
  const answer = join(directory, `${phase}.json`);
  execFileSync(process.execPath, [import.meta.filename, phase, directory, answer], {
    stdio: "inherit",
  });
  const text = readFileSync(answer, "utf8");
  return JSON.parse(text) as T;
}

function main(args: readonly string[]): void {
  const [first = "", directory = "", answer = ""] = args;
  const phases: Record<string, () => unknown> = {
    write: () => write(directory),
    read: () => read(directory),
    compile: compileTimes,
  };
  const phase = phases[first];
  if (phase !== undefined) {
    const file = openSync(answer, "w");
    writeSync(file, JSON.stringify(phase() ?? null));
    closeSync(file);
    return;
  }
  const { json } = optionsOf(import.meta.filename, { json: { type: "boolean", default: false } });
  const scratch = mkdtempSync(join(tmpdir(), "mailroute-bench-"));
  try {
    inChild("write", scratch);
    const looked = inChild<LookUps>("read", scratch);
    const times = inChild<CompileTimes>("compile", scratch);
    const all = { ...looked, ...times };
    if (json) console.log(JSON.stringify({ suffixes: suffixCount, routes: routeTotal, ...all }));
    else report(all);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function report(all: LookUps & CompileTimes): void {
  const line = (text: string, value: number, unit: string) =>
    console.log(`${text.padEnd(52)} ${value.toFixed(value < 10 ? 2 : 0).padStart(8)} ${unit}`);
  line("1,000,000 suffixes: a look-up (goal 1000)", all.lookUpNs, "ns");
  line("  in the fastest round", all.lookUpNsBest, "ns");
  line("  every mail to another domain", all.evenLookUpNs, "ns");
  line("  in the fastest round", all.evenLookUpNsBest, "ns");
  line("the table itself", all.tableMb, "MB");
  line("process with that table, resident (goal 200)", all.rssMb, "MB");
  line("  at its peak while loading", all.peakRssMb, "MB");
  line("  before the table", all.baseRssMb, "MB");
  line(`decode one of ${all.shards} shards, mean`, all.shardMsMean, "ms");
  line("  slowest", all.shardMsMax, "ms");
  line("assemble the table", all.assembleMs, "ms");
  line("compile 10,000 MailRoutes with 100,000 domains", all.compileMs, "ms");
  line("  again after one change", all.recompileMs, "ms");
  line("encode and compress that table", all.encodeMs, "ms");
}

main(process.argv.slice(2));
