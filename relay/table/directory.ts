/**
 * A directory of MailRoute files as the relay's table source. Loop: keeps the compiling thread running and
 * hands its tables to the activation.
 */
import { Worker } from "node:worker_threads";
import { decodeManifest } from "../../routing/wire.ts";
import { Activation } from "./activation.ts";
import type { CredentialStore } from "./credentials.ts";
import type { TableHolder } from "./holder.ts";
import type { SourceEvents, TableSource } from "./source.ts";
import type { FromWorker, WorkerOptions } from "./worker-messages.ts";

export type DirectoryOptions = WorkerOptions & {
  readonly tables: TableHolder;
  readonly credentials: CredentialStore;
  readonly events: SourceEvents;
  readonly now: () => number;
};

/** Between two starts of the thread: twice as long after each that has ended soon. */
const restartMsMin = 1000;
const restartMsMax = 60_000;
/** Where a file makes it need more, the thread ends and the relay, with its table, does not. */
const heapMibMax = 1024;

type TableMessage = Extract<FromWorker, { kind: "table" }>;

export function watchDirectory(options: DirectoryOptions): TableSource {
  const first = Promise.withResolvers<void>();
  const activation = new Activation(options.tables, options.now);
  /** Shards that the thread has sent; it sends each once. */
  let sent: ReadonlyMap<string, Uint8Array> = new Map();
  let stopped = false;
  let worker: Worker | undefined;
  let restartMs = restartMsMin;
  const take = async (message: TableMessage): Promise<void> => {
    const all = new Map([...sent, ...message.shards]);
    const { shards } = decodeManifest(message.manifest);
    sent = new Map(shards.map(({ name }) => [name, all.get(name) ?? new Uint8Array()]));
    const here = sent;
    const activated = await activation.take({
      manifest: message.manifest,
      shard: async (name) => here.get(name) ?? new Uint8Array(),
      stale: message.stale,
      incomplete: message.incomplete,
      ready: async () => options.credentials.replace(message.credentials),
    });
    options.events.activated({ ...activated, ms: message.ms + activated.ms });
    first.resolve();
  };
  const begin = (): void => {
    const { directory, installation, copyDirectory } = options;
    const workerData: WorkerOptions = {
      directory,
      installation,
      ...(copyDirectory !== undefined && { copyDirectory }),
    };
    worker = new Worker(new URL("./worker.ts", import.meta.url), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: heapMibMax },
    });
    const startedMs = options.now();
    worker.on("message", (message: FromWorker) => {
      if (message.kind === "problems") options.events.problems(message.problems);
      else take(message).catch((error: unknown) => options.events.failed(error));
    });
    worker.on("error", (error) => options.events.failed(error));
    worker.on("exit", () => {
      if (stopped) return;
      const hasLasted = options.now() - startedMs > restartMsMax;
      restartMs = hasLasted ? restartMsMin : Math.min(2 * restartMs, restartMsMax);
      setTimeout(() => !stopped && begin(), restartMs).unref();
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
