/**
 * A directory of MailRoute files as the relay's table source. Loop: starts the compiling thread, takes its
 * tables in slices that never block the relay for long, and activates one only when every shard is what
 * the manifest says and every entry parses; else the one in force stays.
 */
import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { gunzipSync } from "node:zlib";
import { assembleSteps, decodeManifest, decodeShard } from "../../routing/wire.ts";
import type { CredentialStore } from "./credentials.ts";
import type { TableHolder } from "./holder.ts";
import type { FromWorker, Problem, WorkerOptions } from "./worker-messages.ts";

export type SourceEvents = {
  activated(table: { readonly digest: string; readonly keys: number; readonly ms: number }): void;
  /** The whole list of what a person must mend now; empty when all is well. */
  problems(problems: readonly Problem[]): void;
  failed(error: unknown): void;
};

export type DirectorySource = {
  /** Resolves with the first table in force. */
  readonly first: Promise<void>;
  stop(): Promise<void>;
};

export type DirectoryOptions = WorkerOptions & {
  readonly tables: TableHolder;
  readonly credentials: CredentialStore;
  readonly events: SourceEvents;
  readonly now: () => number;
};

const restartMs = 1000;
const sliceMsMax = 2;

type DecodedShard = ReturnType<typeof decodeShard>;
type TableMessage = Extract<FromWorker, { kind: "table" }>;

export function watchRoutes(options: DirectoryOptions): DirectorySource {
  const first = Promise.withResolvers<void>();
  let stopped = false;
  let worker: Worker | undefined;
  let shards: ReadonlyMap<string, DecodedShard> = new Map();
  const waiting: TableMessage[] = [];
  let activating = false;
  const activateAll = async (): Promise<void> => {
    if (activating) return;
    activating = true;
    for (let message = waiting.shift(); message !== undefined; message = waiting.shift()) {
      try {
        shards = await activate(options, message, shards);
        first.resolve();
      } catch (error) {
        options.events.failed(error);
      }
    }
    activating = false;
  };
  const begin = (): void => {
    const { directory, installation, copyDirectory } = options;
    const workerData: WorkerOptions = {
      directory,
      installation,
      ...(copyDirectory !== undefined && { copyDirectory }),
    };
    worker = new Worker(new URL("./worker.ts", import.meta.url), { workerData });
    worker.on("message", (message: FromWorker) => {
      if (message.kind === "problems") options.events.problems(message.problems);
      else {
        waiting.push(message);
        void activateAll();
      }
    });
    worker.on("error", (error) => options.events.failed(error));
    worker.on("exit", () => {
      if (!stopped) setTimeout(() => !stopped && begin(), restartMs).unref();
    });
  };
  begin();
  return {
    first: first.promise,
    async stop() {
      stopped = true;
      await worker?.terminate();
    },
  };
}

async function activate(
  options: DirectoryOptions,
  message: TableMessage,
  known: ReadonlyMap<string, DecodedShard>,
): Promise<ReadonlyMap<string, DecodedShard>> {
  const startedMs = options.now();
  const manifest = decodeManifest(message.manifest);
  const shards = new Map<string, DecodedShard>();
  for (const { name, sha256 } of manifest.shards) {
    const shard = known.get(name) ?? decodeChecked(name, message.shards.get(name), sha256);
    if (!known.has(name)) await turn(); // other work between two shards
    shards.set(name, shard);
  }
  const table = await inSlices(assembleSteps(manifest, shards));
  options.credentials.replace(message.credentials);
  const nowMs = options.now();
  const { digest } = manifest;
  const relays = Math.max(1, manifest.relays);
  const stale = message.incomplete;
  options.tables.activate({ table, digest, activatedAtMs: nowMs, stale, relays });
  options.events.activated({ digest, keys: message.keys, ms: message.ms + nowMs - startedMs });
  return shards;
}

/** Throws where the bytes are not what the manifest says. */
function decodeChecked(name: string, bytes: Uint8Array | undefined, sha256: string): DecodedShard {
  const found = createHash("sha256")
    .update(bytes ?? "")
    .digest("hex");
  if (bytes === undefined || found !== sha256) {
    throw new Error(`route table: shard ${name} does not have the content that the manifest says`);
  }
  return decodeShard(bytes, { gunzip: gunzipSync });
}

/** Runs the steps, letting others in whenever a slice is used up. */
async function inSlices<T>(steps: Generator<undefined, T, undefined>): Promise<T> {
  for (;;) {
    const endMs = performance.now() + sliceMsMax;
    while (performance.now() < endMs) {
      const step = steps.next();
      if (step.done) return step.value;
    }
    await turn();
  }
}
