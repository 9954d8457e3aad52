/**
 * The thread that turns a directory of manifests into route tables: watch, read, compile, encode. It is a
 * thread so that 100,000 domains never block the relay; what crosses to it are the same manifest and
 * shards that the operator writes into ConfigMaps. Loop: owns time and order, decides nothing.
 */
import { createHash, randomBytes } from "node:crypto";
import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { gunzipSync, gzipSync } from "node:zlib";
import { type Compiled, compile } from "../../routing/compile.ts";
import { judge } from "../../routing/guard.ts";
import { emptyTable, keyCount, type RouteTable } from "../../routing/table.ts";
import { assembleTable, decodeManifest, decodeShardOf, encode } from "../../routing/wire.ts";
import { type Keeping, tableCopy, type WireTable } from "./copy.ts";
import { Library, type Resource } from "./library.ts";
import type { Complaint } from "./manifests.ts";
import { checkResource, gather, hasReadableKeys, SecretVersions } from "./resources.ts";
import { createScanner } from "./scan.ts";
import type { FromWorker, Problem, WorkerOptions } from "./worker-messages.ts";

const quietMs = 100;
const holdOffMsMax = 1000;
/** Where the file system tells nobody of changes (network volumes), we look ourselves. */
const lookMs = 1000;
/** At the start, how long files may take to stand still before there is a first table. */
const patienceMs = 8000;
const problemsMax = 100;
const approvalFile = ".mailroute-approve";

const options = workerData as WorkerOptions;
const copy = options.copyDirectory === undefined ? undefined : tableCopy(options.copyDirectory);
const versions = new SecretVersions(() => randomBytes(9).toString("base64url"));
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let previous: RouteTable = emptyTable;
let shardCount = 1;
let parents: readonly string[] = [];
let published: ReadonlyMap<string, Uint8Array> = new Map();
let everPublished = false;
let recheckTimer: NodeJS.Timeout | undefined;
let lastProblems = "";
/** Digest of the table that the guard holds back; "" while it holds none. */
let unapproved = "";
/** The guard has held back the last table. */
let isHolding = false;
/** What is wrong with the kept table, for as long as it matters. */
let damage: string | undefined;
let unsaved: string | undefined;

function post(message: FromWorker): void {
  parentPort?.postMessage(message);
}

async function start(): Promise<void> {
  const kept = await copy?.load();
  if (kept?.wire !== undefined) restore(kept.wire);
  else if (kept !== undefined) damaged(kept.damage);
  const library = new Library({
    namespace: options.installation.namespace,
    check: checkResource,
    hasReadableKeys,
    ...(kept?.lastGood !== undefined && { lastGood: kept.lastGood }),
  });
  const scanner = createScanner(options.directory);
  let dirty = true;
  let running = false;
  let isWanted = false;
  let again: NodeJS.Timeout | undefined;
  const beganMs = performance.now();
  const refresh = async (): Promise<void> => {
    if (running) {
      isWanted = true;
      return;
    }
    running = true;
    isWanted = false;
    try {
      const { changed, againMs } = await scanner.scan(library);
      clearTimeout(again);
      if (againMs !== undefined) again = setTimeout(() => void refresh(), againMs);
      dirty ||= changed;
      const isFirst = published.size === 0;
      if (isFirst && againMs !== undefined && performance.now() - beganMs < patienceMs) return;
      const approved = unapproved !== "" && (await isApproved(unapproved));
      if (dirty || approved) {
        dirty = false;
        await publish(library, recompileSoon);
      }
    } catch (error) {
      // An unmounted volume at the start: the table of the process before, as one that may be old.
      if (published.size === 0 && everPublished) {
        const { incomplete } = library.view();
        const startedMs = Date.now();
        send({ library, stale: true, incomplete, startedMs, credentials: [] });
      }
      problems([
        {
          where: options.directory,
          text: `cannot be read: ${String(error)}; the table in force stays`,
        },
      ]);
    } finally {
      running = false;
    }
    if (isWanted) refreshSoon();
  };
  let quiet: NodeJS.Timeout | undefined;
  let firstMs = 0;
  function recompileSoon(): void {
    dirty = true;
    refreshSoon();
  }
  function refreshSoon(): void {
    const nowMs = Date.now();
    if (quiet === undefined) firstMs = nowMs;
    else if (nowMs + quietMs > firstMs + holdOffMsMax) return;
    clearTimeout(quiet);
    quiet = setTimeout(() => {
      quiet = undefined;
      void refresh();
    }, quietMs);
  }
  watchDirectory(refreshSoon);
  // Looking takes at most a twentieth of the time, however many files there are.
  const look = async (): Promise<void> => {
    const startedMs = performance.now();
    await refresh();
    setTimeout(() => void look(), Math.max(lookMs, 20 * (performance.now() - startedMs)));
  };
  await look();
}

/** The table of an earlier process: it says who holds which key, and what the guard compares with. */
function restore(wire: WireTable): void {
  try {
    const manifest = decodeManifest(wire.manifest);
    const shards = new Map(
      manifest.shards.map((listed) => {
        const bytes = wire.shards.get(listed.name) ?? new Uint8Array();
        return [listed.name, decodeShardOf(listed, bytes, { sha256, gunzip: gunzipSync })];
      }),
    );
    previous = assembleTable(manifest, shards);
    shardCount = previous.shards.length;
    parents = [manifest.digest, ...manifest.parents];
    everPublished = true;
  } catch (error) {
    damaged(String(error));
  }
}

function damaged(why: string | undefined): void {
  damage = `the kept route table is damaged and not used: ${why}`;
}

function watchDirectory(changed: () => void): void {
  try {
    const watcher = watch(options.directory, { recursive: true }, changed);
    watcher.on("error", () => watcher.close());
  } catch {
    // no notification here: looking every second has to do
  }
}

async function publish(library: Library, recompileSoon: () => void): Promise<void> {
  const startedMs = Date.now();
  const { resources, complaints, incomplete } = library.view();
  const { routes, grants, references, credentials } = gather(resources, versions);
  const { installation } = options;
  const result = compile({
    routes,
    grants,
    references,
    previous,
    now: startedMs,
    installation,
    sha256,
  });
  clearTimeout(recheckTimer);
  if (result.recheckAtMs !== undefined) {
    recheckTimer = setTimeout(recompileSoon, Math.max(result.recheckAtMs - startedMs, 0) + 1);
  }
  const found = problemsOf(complaints, resources, result);
  const { table } = result;
  const judgement = everPublished ? judge({ previous, next: table, isHolding }) : undefined;
  const isApprovedNow = await isApproved(table.digest);
  const mend = `if that is meant: echo ${table.digest} > ${join(options.directory, approvalFile)}`;
  const isHeld = judgement?.publish === false && !isApprovedNow;
  isHolding = isHeld;
  const isEmpty = keyCount(table) === 0 && !isApprovedNow;
  unapproved = isHeld || isEmpty ? table.digest : "";
  let keeping: Keeping | undefined;
  if (isHeld) {
    const text = `${judgement.why}; the table in force stays; ${mend}`;
    found.push({ where: options.directory, text });
    // Kept from an earlier process, the table in force has not been given out yet.
    const stale = incomplete;
    if (published.size === 0) {
      keeping = send({ library, stale, incomplete, startedMs, credentials });
    }
  } else {
    if (isEmpty) {
      const what = routes.length === 0 ? "no MailRoute" : "no MailRoute with a key in force";
      const text = `${what} in ${options.directory}: everything would go by MX; ${mend}`;
      found.push({ where: options.directory, text });
    }
    previous = table;
    const stale = incomplete || isEmpty;
    if (!stale) damage = undefined;
    keeping = send({ library, stale, incomplete, startedMs, credentials });
  }
  const ofCopy = (): Problem[] =>
    [damage, unsaved]
      .filter((text) => text !== undefined)
      .map((text) => ({ where: options.copyDirectory ?? "", text }));
  // Told before the disk has answered: whoever asks sees table and problems together.
  problems([...found, ...ofCopy()]);
  if (keeping === undefined) return;
  await keep(keeping);
  problems([...found, ...ofCopy()]);
}

function problemsOf(
  complaints: readonly Complaint[],
  resources: readonly Resource[],
  { verdicts, grantVerdicts }: Compiled,
): Problem[] {
  const broken = new Set(resources.filter((each) => each.broken === true).map(({ id }) => id));
  const found = complaints.map(({ file, line, text }) => ({ where: `${file}:${line}`, text }));
  for (const [id, verdict] of verdicts) {
    // What is broken has been complained of with its line.
    if (verdict.kind === "other-class" || broken.has(id)) continue;
    for (const { type, status, message } of verdict.conditions) {
      if (status === "False") found.push({ where: id, text: `${type}: ${message}` });
    }
  }
  for (const [name, verdict] of grantVerdicts) {
    if (verdict.kind !== "accepted") continue; // as above
    for (const { path, message } of verdict.problems ?? []) {
      found.push({ where: `MailGrant ${name}`, text: `${path}: ${message}` });
    }
  }
  return found;
}

type Sending = {
  readonly library: Library;
  readonly stale: boolean;
  readonly incomplete: boolean;
  readonly startedMs: number;
  readonly credentials: ReturnType<typeof gather>["credentials"];
};

/** What of it is to be kept for a restart. */
function send(sending: Sending): Keeping {
  const { library, stale, incomplete, startedMs, credentials } = sending;
  const encoded = encode(previous, {
    sha256,
    gzip: gzipSync,
    previousShardCount: shardCount,
    parents,
    relays: 1,
  });
  const manifest = JSON.stringify(encoded.manifest);
  const fresh = new Map([...encoded.shards].filter(([name]) => !published.has(name)));
  shardCount = encoded.manifest.shards.length;
  if (parents[0] !== encoded.manifest.digest) {
    parents = [encoded.manifest.digest, ...encoded.manifest.parents];
  }
  published = encoded.shards;
  everPublished = true;
  const keys = keyCount(previous);
  post({
    kind: "table",
    manifest,
    shards: fresh,
    stale,
    incomplete,
    keys,
    credentials,
    ms: Date.now() - startedMs,
  });
  return {
    manifest,
    shards: [...encoded.shards.keys()],
    fresh: encoded.shards,
    lastGood: library.lastGood(),
  };
}

async function keep(keeping: Keeping): Promise<void> {
  try {
    await copy?.save(keeping);
    unsaved = undefined;
  } catch (error) {
    unsaved = `the route table could not be kept for a restart: ${String(error)}`;
  }
}

async function isApproved(digest: string): Promise<boolean> {
  try {
    return (await readFile(join(options.directory, approvalFile), "utf8")).trim() === digest;
  } catch {
    return false;
  }
}

/** Told only when they change. */
function problems(all: readonly Problem[]): void {
  const more = { where: options.directory, text: `and ${all.length - problemsMax} more` };
  const list = all.length > problemsMax ? [...all.slice(0, problemsMax), more] : all;
  const text = JSON.stringify(list);
  if (text === lastProblems) return;
  lastProblems = text;
  post({ kind: "problems", problems: list });
}

parentPort?.once("message", () => process.exit(0)); // "stop"
await start();
