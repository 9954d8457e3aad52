/**
 * ConfigMaps of the operator as the relay's table source. Loop: watches the manifest, fetches the shards that
 * it lacks, hands them to the activation; keeps a copy on the spool's volume, and where the API cannot be
 * reached for 30 s at the start, serves that one as stale.
 */
import type { Api, KubeObject } from "../../kube/api.ts";
import { errorText } from "../../kube/error-text.ts";
import { type Change, reflect } from "../../kube/reflector.ts";
import { bytesOfShard, manifestOf } from "../../kube/table-maps.ts";
import { decodeManifest } from "../../routing/wire.ts";
import { Activation } from "./activation.ts";
import type { TableCopy } from "./copy.ts";
import type { CredentialStore } from "./credentials.ts";
import type { TableHolder } from "./holder.ts";
import { Borrower } from "./lent.ts";
import type { SourceEvents, TableSource } from "./source.ts";

export type ConfigMapOptions = {
  readonly api: Api;
  readonly namespace: string;
  /** The installation's name: its manifest is NAME-routes. */
  readonly name: string;
  readonly copy: TableCopy;
  readonly tables: TableHolder;
  readonly credentials: CredentialStore;
  readonly events: SourceEvents;
  readonly now: () => number;
  /** How long the API may be silent at the start before the copy is used. */
  readonly patienceMs?: number;
};

const patienceMsDefault = 30_000;
const againMs = 2000;

export function watchConfigMaps(options: ConfigMapOptions): TableSource {
  const source = new ConfigMapSource(options);
  source.start();
  return source;
}

class ConfigMapSource implements TableSource {
  readonly first: Promise<void>;
  readonly #options: ConfigMapOptions;
  readonly #activation: Activation;
  readonly #borrower: Borrower;
  readonly #firstTable = Promise.withResolvers<void>();
  readonly #stops: (() => void)[] = [];
  readonly #problems = new Map<string, string>();
  #taken = "";
  #offered = 0;
  #again: NodeJS.Timeout | undefined;
  /** What has been begun: none of it is at work any more when the source has stopped. */
  readonly #underWay = new Set<Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(options: ConfigMapOptions) {
    this.#options = options;
    this.#activation = new Activation(options.tables, options.now);
    this.#borrower = new Borrower({
      ...options,
      problem: (text) => this.#problem("credentials", text),
    });
    this.first = this.#firstTable.promise;
  }

  start(): void {
    const { api, namespace, name } = this.#options;
    const manifest = `${name}-routes`;
    const reflector = reflect({
      api,
      path: `/api/v1/namespaces/${namespace}/configmaps`,
      query: { fieldSelector: `metadata.name=${manifest}` },
      changed: (change) => this.#begin(this.#offer(only(change))),
      state: ({ ok, error }) =>
        this.#problem(`watching ${manifest}`, ok ? undefined : (error ?? "no answer")),
    });
    this.#stops.push(
      () => reflector.stop(),
      () => this.#borrower.stop(),
    );
    const timer = setTimeout(
      () => this.#begin(this.#fromCopy()),
      this.#options.patienceMs ?? patienceMsDefault,
    );
    this.#stops.push(() => clearTimeout(timer));
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("stopped"));
    clearTimeout(this.#again);
    for (const stop of this.#stops) stop();
    await Promise.all(this.#underWay);
  }

  #begin(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  /** A deleted manifest changes nothing: the table in force stays. */
  async #offer(map: KubeObject | undefined): Promise<void> {
    if (map === undefined) {
      this.#problem("manifest", "the operator's manifest is not there; the table in force stays");
      return;
    }
    const turn = ++this.#offered;
    const { manifest } = manifestOf(map);
    if (manifest === this.#taken && this.#options.tables.current?.stale === false) {
      this.#problem("manifest", undefined);
      return;
    }
    try {
      const fetched = new Map<string, Uint8Array>();
      const shard = async (name: string): Promise<Uint8Array> => {
        const bytes = await this.#fetch(name);
        fetched.set(name, bytes);
        return bytes;
      };
      const activated = await this.#activation.take({
        manifest,
        shard,
        stale: false,
        ready: async (table) => await this.#borrower.borrow(table),
      });
      this.#taken = manifest;
      this.#problem("manifest", undefined);
      this.#options.events.activated(activated);
      this.#firstTable.resolve();
      await this.#keep(manifest, fetched);
    } catch (error) {
      this.#problem("manifest", `${errorText(error)}; the table in force stays`);
      if (this.#stopping.signal.aborted) return;
      // A later manifest replaces this one; else it is tried again.
      clearTimeout(this.#again);
      this.#again = setTimeout(() => {
        if (turn === this.#offered) this.#begin(this.#offer(map));
      }, againMs);
    }
  }

  async #fetch(shard: string): Promise<Uint8Array> {
    const { api, namespace, name } = this.#options;
    const { status, body } = await api.request({
      path: `/api/v1/namespaces/${namespace}/configmaps/${name}-routes-${shard}`,
      signal: this.#stopping.signal,
    });
    if (status !== 200) throw new Error(`shard ${shard} answered ${status}: ${body.message ?? ""}`);
    return bytesOfShard(body);
  }

  async #keep(manifest: string, fetched: ReadonlyMap<string, Uint8Array>): Promise<void> {
    try {
      const shards = decodeManifest(manifest).shards.map(({ name }) => name);
      await this.#options.copy.save({ manifest, shards, fresh: fetched });
      this.#problem("table copy", undefined);
    } catch (error) {
      this.#problem(
        "table copy",
        `the route table could not be kept for a restart: ${String(error)}`,
      );
    }
  }

  /** The API server is out of reach since the start: the table of an earlier process, flagged as old. */
  async #fromCopy(): Promise<void> {
    const { tables } = this.#options;
    if (tables.current !== undefined || this.#stopping.signal.aborted) return;
    const kept = await this.#options.copy.load();
    if (kept === undefined) return;
    try {
      if (kept.wire === undefined) throw new Error(kept.damage);
      const { manifest, shards } = kept.wire;
      const shard = async (name: string): Promise<Uint8Array> =>
        shards.get(name) ?? new Uint8Array();
      this.#options.events.activated(
        await this.#activation.take({ manifest, shard, stale: true, onlyFirst: true }),
      );
      this.#firstTable.resolve();
      await this.#borrowFor(tables);
    } catch (error) {
      this.#problem("table copy", `the kept route table is damaged and not used: ${String(error)}`);
    }
  }

  /** The table is in force: what it names of credentials may come later. */
  async #borrowFor({ current }: TableHolder): Promise<void> {
    if (current?.stale === true) await this.#borrower.borrow(current.table);
  }

  #problem(where: string, text: string | undefined): void {
    if (this.#stopping.signal.aborted || this.#problems.get(where) === text) return;
    if (text === undefined) this.#problems.delete(where);
    else this.#problems.set(where, text);
    this.#options.events.problems(
      [...this.#problems].map(([at, words]) => ({ where: at, text: words })),
    );
  }
}

/** Of a list or watch of one object: that object, or undefined where there is none. */
function only(change: Change): KubeObject | undefined {
  if (change.type === "listed") return change.objects[0];
  return change.type === "set" ? change.object : undefined;
}
