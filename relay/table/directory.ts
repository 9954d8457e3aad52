/**
 * A directory of MailRoute files as the relay's table source. Loop: starts the compiling thread, takes its
 * tables in slices that never block the relay for long, and activates one only when every shard is what
 * the manifest says and every entry parses; else the one in force stays.
 */
import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { gunzipSync } from "node:zlib";
import { assembleTable, decodeManifest, decodeShard } from "../../routing/wire.ts";
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
    let shard = known.get(name);
    if (shard === undefined) {
      const bytes = message.shards.get(name) ?? new Uint8Array();
      const found = createHash("sha256").update(bytes).digest("hex");
      if (found !== sha256)
        throw new Error(
          `route table: shard ${name} does not have the content that the manifest says`,
        );
      shard = decodeShard(bytes, { gunzip: gunzipSync });
      await turn(); // other work between two shards
    }
    shards.set(name, shard);
  }
  const table = assembleTable(manifest, shards);
  options.credentials.replace(message.credentials);
  const nowMs = options.now();
  options.tables.activate({
    table,
    digest: manifest.digest,
    activatedAtMs: nowMs,
    stale: message.incomplete,
  });
  options.events.activated({
    digest: manifest.digest,
    keys: message.keys,
    ms: message.ms + nowMs - startedMs,
  });
  return shards;
}
