/**
 * The Secrets that routes use, read only where they are lent (mailroute.dev/hosts), and handed to the relays
 * in one Secret of their own under random versions. Adapter and its memory: contents stay in here and never
 * enter a ConfigMap, a status or a log.
 */
import { randomBytes } from "node:crypto";
import type { Api, KubeObject } from "../kube/api.ts";
import { valuesOf } from "../kube/secret-values.ts";
import { hostsOf, type SecretContents } from "./snapshot.ts";

type Held = {
  readonly resourceVersion: string;
  readonly version: string;
  readonly content: string;
  readonly keys: readonly string[];
};

/** One entry of the relays' Secret, as JSON under its version. */
export type LentCredential = {
  readonly secret: string;
  readonly version: string;
  readonly values: Readonly<Record<string, string>>;
};

export type CredentialsOptions = {
  readonly api: Api;
  readonly namespace: string;
  /** Name of the relays' Secret. */
  readonly name: string;
};

export class LentSecrets {
  readonly #options: CredentialsOptions;
  readonly #held = new Map<string, Held>();
  /** Entries of the last write: relays may still hold the table that names them. */
  #written: ReadonlyMap<string, string> = new Map();

  constructor(options: CredentialsOptions) {
    this.#options = options;
  }

  get contents(): SecretContents {
    return this.#held;
  }

  /** What an earlier leader handed out keeps its version while its content is the same. */
  async restore(): Promise<void> {
    const { status, body } = await this.#options.api.request({
      path: this.#path(this.#options.name),
    });
    if (status === 404) return;
    if (status !== 200)
      throw new Error(`reading the relays' credentials answered ${status}: ${body.message ?? ""}`);
    const entries = valuesOf(body);
    this.#written = new Map(Object.entries(entries));
    for (const text of Object.values(entries)) {
      const { secret, version, values } = JSON.parse(text) as LentCredential;
      this.#held.set(secret, {
        resourceVersion: "",
        version,
        content: contentOf(values),
        keys: Object.keys(values),
      });
    }
  }

  /** Reads every lent Secret that is new or has changed; what cannot be read keeps its last content. */
  async refresh(secrets: ReadonlyMap<string, KubeObject>): Promise<void> {
    for (const id of this.#held.keys()) if (!secrets.has(id)) this.#held.delete(id);
    const due = [...secrets].filter(([id, { metadata }]) => {
      return (
        hostsOf(metadata).length > 0 &&
        this.#held.get(id)?.resourceVersion !== metadata?.resourceVersion
      );
    });
    for (const [id] of due) {
      const [namespace, name] = id.split("/");
      const { status, body } = await this.#options.api.request({
        path: `/api/v1/namespaces/${namespace}/secrets/${name}`,
      });
      if (status === 404) this.#held.delete(id);
      if (status !== 200) continue;
      const values = valuesOf(body);
      const content = contentOf(values);
      const known = this.#held.get(id);
      const version = known?.content === content ? known.version : randomBytes(9).toString("hex");
      this.#held.set(id, {
        resourceVersion: body.metadata?.resourceVersion ?? "",
        version,
        content,
        keys: Object.keys(values),
      });
    }
  }

  /** Writes those that the table names, and those of the write before. True where something was written. */
  async write(used: ReadonlySet<string>): Promise<boolean> {
    const now = new Map<string, string>();
    for (const [secret, { version, content }] of this.#held) {
      if (used.has(secret))
        now.set(
          version,
          JSON.stringify({ secret, version, values: JSON.parse(content) as unknown }),
        );
    }
    const isSame = [...now].every(([version, text]) => this.#written.get(version) === text);
    if (isSame) return false;
    await this.#put(Object.fromEntries([...this.#written, ...now]));
    this.#written = now;
    return true;
  }

  async #put(stringData: Readonly<Record<string, string>>): Promise<void> {
    const { api, namespace, name } = this.#options;
    const data = Object.fromEntries(
      Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
    );
    const body = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace },
      type: "Opaque",
      data,
    };
    const replaced = await api.request({ method: "PUT", path: this.#path(name), body });
    if (replaced.status < 300) return;
    const created =
      replaced.status === 404
        ? await api.request({ method: "POST", path: this.#path(), body })
        : replaced;
    if (created.status >= 300) {
      throw new Error(
        `writing the relays' credentials answered ${created.status}: ${created.body.message ?? ""}`,
      );
    }
  }

  #path(name?: string): string {
    const base = `/api/v1/namespaces/${this.#options.namespace}/secrets`;
    return name === undefined ? base : `${base}/${name}`;
  }
}

function contentOf(values: Readonly<Record<string, string>>): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))),
  );
}
