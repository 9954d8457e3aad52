/**
 * Hands the credentials that the route table names to the relays, in Secrets of their own: each lent Secret
 * in the one that its name hashes to, once, whoever names it. Adapter. What no table names any more stays for a
 * while, since relays may still hold a table that does, and then goes.
 */
import type { Api } from "../kube/api.ts";
import {
  credentialShardOf,
  credentialShards,
  type LentCredential,
  lentCredential,
} from "../kube/credential-shards.ts";
import { valuesOf } from "../kube/secret-values.ts";
import { Overtaken } from "./publish.ts";

export type LenderOptions = {
  readonly api: Api;
  readonly namespace: string;
  /** The installation: names of all its objects begin with it. */
  readonly name: string;
  readonly now: () => number;
};

export type Lent = {
  readonly changed: boolean;
  /** Lent Secrets that found no room: their routes' mail waits. */
  readonly crowdedOut: readonly string[];
  /** When something that is not used any more is to be taken away: write again then. */
  readonly recheckAtMs: number | undefined;
};

type Entry = {
  readonly secret: string;
  readonly text: string;
  /** Since when no table has named it; undefined while one does. */
  readonly unusedSinceMs: number | undefined;
};

type Shard = { readonly resourceVersion: string | undefined; readonly entries: Entries };
/** By version. */
type Entries = ReadonlyMap<string, Entry>;

const keptMs = 300_000;
/** Of a Secret's 1 MiB; the rest is for what encoding and metadata need. */
const shardBytesMax = 900 * 1024;

export class Lender {
  readonly #options: LenderOptions;
  readonly #shards = new Map<string, Shard>();

  constructor(options: LenderOptions) {
    this.#options = options;
  }

  /** What an earlier leader has handed out. Throws where it cannot be read. */
  async restore(): Promise<readonly LentCredential[]> {
    const names = credentialShards(this.#options.name);
    return (await Promise.all(names.map(async (name) => await this.#read(name)))).flat();
  }

  /** Writes the Secrets that have changed. Throws Overtaken, or an Error with the API server's words. */
  async write(used: readonly LentCredential[]): Promise<Lent> {
    const byShard = Map.groupBy(used, ({ secret }) =>
      credentialShardOf(this.#options.name, secret),
    );
    const crowdedOut: string[] = [];
    let changed = false;
    for (const name of credentialShards(this.#options.name)) {
      const before = this.#shards.get(name) ?? { resourceVersion: undefined, entries: new Map() };
      const { entries, left } = this.#next(before.entries, byShard.get(name) ?? []);
      crowdedOut.push(...left);
      const isSame =
        entries.size === before.entries.size &&
        [...entries].every(([version, { text }]) => before.entries.get(version)?.text === text);
      const resourceVersion = isSame
        ? before.resourceVersion
        : await this.#put(name, { resourceVersion: before.resourceVersion, entries });
      this.#shards.set(name, { resourceVersion, entries });
      changed ||= !isSame;
    }
    return { changed, crowdedOut, recheckAtMs: this.#recheckAtMs() };
  }

  #next(
    before: Entries,
    used: readonly LentCredential[],
  ): { readonly entries: Entries; readonly left: readonly string[] } {
    const nowMs = this.#options.now();
    const entries = new Map<string, Entry>();
    const left: string[] = [];
    let bytes = 0;
    const add = (version: string, entry: Entry): boolean => {
      const size = Buffer.byteLength(entry.text) + version.length;
      if (bytes + size > shardBytesMax) return false;
      bytes += size;
      entries.set(version, entry);
      return true;
    };
    // Whoever is there stays: a newcomer crowds nobody out.
    const standing = used.filter(({ version }) => before.has(version));
    const fresh = used.filter(({ version }) => !before.has(version));
    for (const { secret, version, values } of [...standing, ...fresh]) {
      const text = JSON.stringify({ secret, version, values });
      if (!add(version, { secret, text, unusedSinceMs: undefined })) left.push(secret);
    }
    for (const [version, entry] of before) {
      const unusedSinceMs = entry.unusedSinceMs ?? nowMs;
      if (!entries.has(version) && nowMs - unusedSinceMs < keptMs)
        add(version, { ...entry, unusedSinceMs });
    }
    return { entries, left };
  }

  #recheckAtMs(): number | undefined {
    const since = [...this.#shards.values()].flatMap(({ entries }) =>
      [...entries.values()].flatMap(({ unusedSinceMs }) => unusedSinceMs ?? []),
    );
    return since.length === 0 ? undefined : Math.min(...since) + keptMs;
  }

  async #read(name: string): Promise<readonly LentCredential[]> {
    const { status, body } = await this.#options.api.request({ path: this.#path(name) });
    if (status === 404) {
      this.#shards.set(name, { resourceVersion: undefined, entries: new Map() });
      return [];
    }
    if (status !== 200)
      throw new Error(`reading the relays' Secret ${name} answered ${status}: ${body.message}`);
    const entries = new Map<string, Entry>();
    const lent: LentCredential[] = [];
    for (const [version, text] of Object.entries(valuesOf(body))) {
      const credential = lentCredential(text);
      if (credential === undefined) continue; // not ours: it goes with the next write
      entries.set(version, { secret: credential.secret, text, unusedSinceMs: undefined });
      lent.push(credential);
    }
    this.#shards.set(name, { resourceVersion: body.metadata?.resourceVersion, entries });
    return lent;
  }

  /** The new resourceVersion. */
  async #put(name: string, { resourceVersion, entries }: Shard): Promise<string | undefined> {
    const { api, namespace } = this.#options;
    const data = Object.fromEntries(
      [...entries].map(([version, { text }]) => [version, Buffer.from(text).toString("base64")]),
    );
    const { status, body } = await api.request({
      method: resourceVersion === undefined ? "POST" : "PUT",
      path: resourceVersion === undefined ? this.#path() : this.#path(name),
      body: {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name, namespace, ...(resourceVersion !== undefined && { resourceVersion }) },
        type: "Opaque",
        data,
      },
    });
    // 409, or deleted under us: what is believed of it is wrong, and everything is read again.
    if (status === 409 || status === 404)
      throw new Overtaken(`Secret ${name} was written by another`);
    if (status >= 300)
      throw new Error(`writing the relays' Secret ${name} answered ${status}: ${body.message}`);
    return body.metadata?.resourceVersion;
  }

  #path(name?: string): string {
    const base = `/api/v1/namespaces/${this.#options.namespace}/secrets`;
    return name === undefined ? base : `${base}/${name}`;
  }
}
