/**
 * The route table in ConfigMaps. Adapter: shards first, each immutable and named by its content, then the
 * manifest under the resourceVersion that was last seen, so that a leader who was paused and goes on cannot
 * put an old table back. Shards of the last three tables stay.
 */
import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Api, KubeObject } from "../kube/api.ts";
import { fewAtOnce } from "../kube/few-at-once.ts";
import { bytesOfShard, manifestOf, shardData } from "../kube/table-maps.ts";
import { emptyTable, type RouteTable, shardEntries } from "../routing/table.ts";
import { buildTable } from "../routing/table-builder.ts";
import { TableError } from "../routing/table-error.ts";
import {
  assembleTable,
  type DecodedShard,
  decodeManifest,
  decodeShardOf,
  encode,
  type Manifest,
  type ManifestShard,
} from "../routing/wire.ts";

export type PublisherOptions = {
  readonly api: Api;
  readonly namespace: string;
  /** The installation: names of all its objects begin with it. */
  readonly name: string;
  /** Something that a person should know of, and that needs nobody's hand. */
  readonly problem: (text: string) => void;
};

/** Another has written the manifest since we read it: whoever thought himself leader is not. */
export class Overtaken extends Error {
  override readonly name = "Overtaken";
}

/** No label of Helm's or a GitOps tool's: nobody but the operator may prune these. */
export const tableLabel = "mailroute.dev/table";
const approvalAnnotation = "mailroute.dev/approve";
const holdingAnnotation = "mailroute.dev/holding";
const tablesKept = 3;
const shardsAtOnceMax = 8;
const shardsPageMax = 64;
const damagedShownMax = 3;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export class Publisher {
  readonly #options: PublisherOptions;
  #version: string | undefined;
  #manifest: Manifest | undefined;
  /** Names of the shards of the last tables, the latest first. */
  #history: readonly (readonly string[])[] = [];
  #there = new Set<string>();
  /** Shards of the published table that somebody has deleted or put something else in place of. */
  readonly #damaged = new Set<string>();
  /** Something of the published table is gone since. */
  #isIncomplete = false;
  /** That of a table held back, as the manifest carries it. */
  #occasion: string | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
  }

  get digest(): string {
    return this.#manifest?.digest ?? "";
  }

  /** The table that relays have now; `emptyTable` where none was ever published. */
  async restore(): Promise<RouteTable> {
    const { body, status } = await this.#options.api.request({
      path: this.#path(this.#manifestName),
    });
    if (status !== 200 && status !== 404)
      throw new Error(`reading the manifest answered ${status}: ${body.message ?? ""}`);
    const found = status === 404 ? undefined : manifestOf(body);
    const manifest = found && decodeManifest(found.manifest);
    const bytes = await this.#readShards(new Set(manifest?.shards.map(({ name }) => name)));
    if (manifest === undefined) return emptyTable;
    const shards = new Map<string, DecodedShard>();
    this.#damaged.clear();
    for (const listed of manifest.shards) {
      const shard = decoded(listed, bytes.get(listed.name));
      if (shard === undefined) this.#damaged.add(listed.name);
      else shards.set(listed.name, shard);
    }
    this.#version = body.metadata?.resourceVersion;
    this.#manifest = manifest;
    this.#history = found?.history ?? [];
    this.#occasion = annotationsOf(body)[holdingAnnotation];
    if (this.#damaged.size === 0) return assembleTable(manifest, shards);
    const names = [...this.#damaged].slice(0, damagedShownMax).join(", ");
    this.#options.problem(
      `${this.#damaged.size} of ${manifest.shards.length} shards of the published table are gone or damaged (${names}): they are made again from the MailRoutes`,
    );
    return remains(manifest, shards);
  }

  /** Where a table has been held back, by an earlier leader too, and none was published since: on which occasion. */
  get occasion(): string | undefined {
    return this.#occasion;
  }

  /**
   * For whoever leads next: the table that stands is there because another is held back. A publish takes it off; this
   * takes off what was approved before.
   */
  async markHolding(occasion: string): Promise<void> {
    const resourceVersion = this.#version;
    const manifest = this.#manifest;
    if (this.#occasion === occasion) return;
    if (manifest === undefined || resourceVersion === undefined) return;
    const annotations = { [holdingAnnotation]: occasion };
    const { status, body } = await this.#options.api.request({
      method: "PUT",
      path: this.#path(this.#manifestName),
      body: this.#manifestMap(manifest, this.#history, { resourceVersion, annotations }),
    });
    // Written by another meanwhile, who may be a person that approves: the next pass sees.
    if (status === 409 || status === 404) return;
    if (status >= 300)
      throw new Error(`marking the manifest answered ${status}: ${body.message ?? ""}`);
    this.#version = body.metadata?.resourceVersion;
    this.#occasion = occasion;
  }

  /** Whether something of the published table is known to be gone: the next publish puts it back. */
  get isIncomplete(): boolean {
    return this.#isIncomplete;
  }

  /** Names of the ConfigMaps that the published table is in, the manifest first. */
  get standing(): readonly string[] {
    const shards = this.#manifest?.shards.filter(({ name }) => !this.#damaged.has(name));
    if (shards === undefined) return [];
    return [this.#manifestName, ...shards.map(({ name }) => this.#shardName(name))];
  }

  /** One of `standing` has been deleted by somebody. */
  lost(name: string): void {
    this.#isIncomplete = true;
    if (name === this.#manifestName) this.#version = undefined;
    else this.#there.delete(name.slice(this.#shardName("").length));
  }

  /** How a person says that a table may be published although the guard holds it back. */
  approveCommand(digest: string): string {
    const { namespace } = this.#options;
    return `kubectl annotate configmap ${this.#manifestName} --namespace ${namespace} --overwrite ${approvalAnnotation}=${digest}`;
  }

  /** The digest of losses that a person has approved, as the manifest's annotation says now. */
  async approved(): Promise<string | undefined> {
    const { status, body } = await this.#options.api.request({
      path: this.#path(this.#manifestName),
    });
    if (status !== 200) return undefined;
    // Whoever annotates it makes a new version of what we wrote: that one is ours to replace.
    const isOurs = manifestOf(body).manifest === JSON.stringify(this.#manifest);
    if (isOurs) this.#version = body.metadata?.resourceVersion;
    return annotationsOf(body)[approvalAnnotation];
  }

  /** True where something was written. Throws Overtaken, or an Error with the API server's words. */
  async publish(table: RouteTable, relays: number): Promise<boolean> {
    const before = this.#manifest;
    const parents = before === undefined ? [] : [before.digest, ...before.parents];
    const encoded = encode(table, {
      sha256,
      gzip: gzipSync,
      previousShardCount: before?.shards.length ?? 1,
      parents,
      relays,
    });
    const isSame = before?.digest === encoded.manifest.digest && before.relays === relays;
    if (isSame && this.#damaged.size === 0 && !this.#isIncomplete && this.#occasion === undefined)
      return false;
    this.#isIncomplete = false; // what is deleted from now on is for the next time
    const missing = [...encoded.shards].filter(
      ([name]) => !this.#there.has(name) || this.#damaged.has(name),
    );
    await fewAtOnce(missing, shardsAtOnceMax, async ([name, bytes]) => {
      await this.#writeShard(name, bytes);
    });
    // The same table for another number of relays has the same parents.
    const manifest =
      before?.digest === encoded.manifest.digest
        ? { ...encoded.manifest, parents: before.parents }
        : encoded.manifest;
    const names = [...encoded.shards.keys()];
    const history = [names, ...this.#history.filter((each) => each.join() !== names.join())].slice(
      0,
      tablesKept,
    );
    await this.#writeManifest(manifest, history);
    this.#manifest = manifest;
    this.#history = history;
    this.#damaged.clear();
    await this.#prune();
    return true;
  }

  async #writeShard(name: string, bytes: Uint8Array): Promise<void> {
    // Nobody can change it, but it can go.
    if (this.#damaged.has(name)) await this.#deleteShard(name);
    const body = this.#configMap(this.#shardName(name), { immutable: true, ...shardData(bytes) });
    const { status, body: said } = await this.#options.api.request({
      method: "POST",
      path: this.#path(),
      body,
    });
    // 409: it is there, from a write that was cut short; its name is its content.
    if (status >= 300 && status !== 409)
      throw new Error(`writing shard ${name} answered ${status}: ${said.message ?? ""}`);
    this.#there.add(name);
  }

  async #writeManifest(manifest: Manifest, history: readonly (readonly string[])[]): Promise<void> {
    const version = this.#version;
    const more = version === undefined ? {} : { resourceVersion: version };
    const body = this.#manifestMap(manifest, history, more);
    const { status, body: written } = await this.#options.api.request(
      version === undefined
        ? { method: "POST", path: this.#path(), body }
        : { method: "PUT", path: this.#path(this.#manifestName), body },
    );
    if (status === 404 && version !== undefined) {
      // Deleted, and we have not heard of it yet. Should another have made it again, this is 409.
      this.#version = undefined;
      await this.#writeManifest(manifest, history);
      return;
    }
    if (status === 409)
      throw new Overtaken("the manifest was written by another: this process is not the leader");
    if (status >= 300)
      throw new Error(`writing the manifest answered ${status}: ${written.message ?? ""}`);
    this.#version = written.metadata?.resourceVersion;
    this.#occasion = undefined;
  }

  #manifestMap(manifest: Manifest, history: readonly (readonly string[])[], more: object): object {
    const data = {
      "manifest.json": JSON.stringify(manifest),
      "history.json": JSON.stringify(history),
    };
    return this.#configMap(this.#manifestName, { data }, more);
  }

  /** Best effort: what is left over is found at the next start. */
  async #prune(): Promise<void> {
    const kept = new Set(this.#history.flat());
    const stale = [...this.#there].filter((name) => !kept.has(name));
    await fewAtOnce(stale, shardsAtOnceMax, async (name) => await this.#deleteShard(name));
  }

  async #deleteShard(name: string): Promise<void> {
    const { status } = await this.#options.api.request({
      method: "DELETE",
      path: this.#path(this.#shardName(name)),
    });
    if (status < 300 || status === 404) this.#there.delete(name);
  }

  /** Learns which shards are there, a page at a time; the answer is the content of those that are wanted. */
  async #readShards(wanted: ReadonlySet<string>): Promise<ReadonlyMap<string, Uint8Array>> {
    const prefix = this.#shardName("");
    const there = new Set<string>();
    const bytes = new Map<string, Uint8Array>();
    let next = "";
    do {
      const query = {
        labelSelector: `${tableLabel}=${this.#options.name}`,
        limit: shardsPageMax,
        ...(next !== "" && { continue: next }),
      };
      const { status, body } = await this.#options.api.request({ path: this.#path(), query });
      if (status !== 200)
        throw new Error(`listing shards answered ${status}: ${body.message ?? ""}`);
      for (const item of (body["items"] ?? []) as KubeObject[]) {
        const name = String(item.metadata?.["name"]);
        if (!name.startsWith(prefix)) continue;
        const shard = name.slice(prefix.length);
        there.add(shard);
        if (wanted.has(shard)) bytes.set(shard, bytesOfShard(item));
      }
      next = String(body.metadata?.["continue"] ?? "");
    } while (next !== "");
    this.#there = there;
    return bytes;
  }

  get #manifestName(): string {
    return `${this.#options.name}-routes`;
  }

  #shardName(shard: string): string {
    return `${this.#options.name}-routes-${shard}`;
  }

  #path(name?: string): string {
    const base = `/api/v1/namespaces/${this.#options.namespace}/configmaps`;
    return name === undefined ? base : `${base}/${name}`;
  }

  #configMap(name: string, content: object, more: object = {}): object {
    const labels = { [tableLabel]: this.#options.name };
    const metadata = { name, namespace: this.#options.namespace, labels, ...more };
    return { apiVersion: "v1", kind: "ConfigMap", metadata, ...content };
  }
}

function annotationsOf({ metadata }: KubeObject): Readonly<Record<string, string>> {
  return (metadata?.["annotations"] ?? {}) as Readonly<Record<string, string>>;
}

/** Undefined where it is not what the manifest says. */
function decoded(listed: ManifestShard, bytes: Uint8Array | undefined): DecodedShard | undefined {
  if (bytes === undefined) return undefined;
  try {
    return decodeShardOf(listed, bytes, { sha256, gunzip: gunzipSync });
  } catch (error) {
    if (error instanceof TableError) return undefined;
    throw error;
  }
}

/** The table without the shards that are missing, and without entries whose routes were in those. */
function remains(manifest: Manifest, found: ReadonlyMap<string, DecodedShard>): RouteTable {
  const shards = [...found.values()].map(({ shard }) => shard);
  const routes = new Map(shards.flatMap((shard) => [...shard.routes]));
  const entries = shards.flatMap((shard) => [...shardEntries(shard)]);
  const content = {
    entries: entries.filter(({ route }) => routes.has(route)),
    routes: routes.values(),
    submitters: shards.flatMap(({ submitters }) => [...submitters]),
    signers: shards.flatMap(({ signers }) => [...signers.values()]),
  };
  return buildTable(content, { shardCount: manifest.shards.length });
}
