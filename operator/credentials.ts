/**
 * The Secrets that routes use, read only where they are lent (mailroute.dev/hosts), each content under a
 * random version. Adapter and its memory: contents stay in here and with lend.ts, and never enter a ConfigMap,
 * a status or a log.
 */
import { randomBytes } from "node:crypto";
import type { Api, KubeObject } from "../kube/api.ts";
import type { LentCredential } from "../kube/credential-shards.ts";
import { valuesOf } from "../kube/secret-values.ts";
import { hostsOf, type SecretContents } from "./snapshot.ts";

type Held = {
  readonly resourceVersion: string;
  /** Whom the version that was read may be shown to: the watch may know of another. */
  readonly hosts: readonly string[];
  readonly version: string;
  /** JSON of the values, keys in order. */
  readonly content: string;
  readonly keys: readonly string[];
  readonly problem?: string;
};

/** What a route can use of a Secret: nothing else is read out of it or handed on. */
const usedKeys = [
  "ca.crt",
  "client-secret",
  "dkim.key",
  "password",
  "tls.crt",
  "tls.key",
  "username",
];
/** Of those keys together. Certificates with their chain have a few KiB. */
const contentBytesMax = 64 * 1024;
const readAtOnceMax = 10;

export class LentSecrets {
  readonly #api: Api;
  readonly #held = new Map<string, Held>();

  constructor(api: Api) {
    this.#api = api;
  }

  get contents(): SecretContents {
    return this.#held;
  }

  /** What an earlier leader handed out keeps its version while its content is the same; until that is read it is not lent. */
  restore(lent: readonly LentCredential[]): void {
    for (const { secret, version, values } of lent) {
      const content = contentOf(values);
      const keys = Object.keys(values);
      this.#held.set(secret, { resourceVersion: "", hosts: [], version, content, keys });
    }
  }

  /**
   * Reads every lent Secret that is new or has changed; what may not be read keeps its last content. Throws where
   * the API server fails to answer.
   */
  async refresh(secrets: ReadonlyMap<string, KubeObject>): Promise<void> {
    for (const id of this.#held.keys()) if (!secrets.has(id)) this.#held.delete(id);
    const due = [...secrets].filter(([id, { metadata }]) => {
      const known = this.#held.get(id);
      return hostsOf(metadata).length > 0 && known?.resourceVersion !== metadata?.resourceVersion;
    });
    while (due.length > 0) {
      const batch = due.splice(0, readAtOnceMax);
      await Promise.all(batch.map(async ([id]) => await this.#read(id)));
    }
  }

  /** Those of `secrets` that are here, as relays are handed them. */
  entries(secrets: ReadonlySet<string>): readonly LentCredential[] {
    return [...secrets].flatMap((secret): LentCredential[] => {
      const held = this.#held.get(secret);
      if (held === undefined || held.problem !== undefined) return [];
      const values = JSON.parse(held.content) as Record<string, string>;
      return [{ secret, version: held.version, values }];
    });
  }

  async #read(id: string): Promise<void> {
    const [namespace, name] = id.split("/");
    const { status, body } = await this.#api.request({
      path: `/api/v1/namespaces/${namespace}/secrets/${name}`,
    });
    if (status === 404) this.#held.delete(id);
    if (status >= 500 || status === 429)
      throw new Error(`reading Secret ${id} answered ${status}: ${body.message ?? ""}`);
    if (status !== 200) return;
    const all = valuesOf(body);
    const used = Object.entries(all).filter(([key]) => usedKeys.includes(key));
    const content = contentOf(Object.fromEntries(used));
    const known = this.#held.get(id);
    const isTooLarge = Buffer.byteLength(content) > contentBytesMax;
    this.#held.set(id, {
      resourceVersion: body.metadata?.resourceVersion ?? "",
      hosts: hostsOf(body.metadata),
      version: known?.content === content ? known.version : randomBytes(9).toString("hex"),
      content,
      keys: Object.keys(all),
      ...(isTooLarge && {
        problem: `holds more than ${contentBytesMax / 1024} KiB: keep only what the route needs`,
      }),
    });
  }
}

function contentOf(values: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(Object.fromEntries(sorted));
}
