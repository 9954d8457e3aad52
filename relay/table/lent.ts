/**
 * What the operator lends a relay: reads those of its credential Secrets that hold what a table names and the
 * relay lacks. Loop: what cannot be had is asked for again, and until then the mail of those routes waits.
 */
import type { Api } from "../../kube/api.ts";
import { credentialShardOf, lentCredential } from "../../kube/credential-shards.ts";
import { errorText } from "../../kube/error-text.ts";
import { credentialOf, valuesOf } from "../../kube/secret-values.ts";
import type { RouteTable } from "../../routing/table.ts";
import type { CredentialStore } from "./credentials.ts";
import type { VersionedCredential } from "./resources.ts";

export type BorrowerOptions = {
  readonly api: Api;
  readonly namespace: string;
  /** The installation's name. */
  readonly name: string;
  readonly credentials: CredentialStore;
  /** What a person should know; undefined: all is well. */
  readonly problem: (text: string | undefined) => void;
};

const againMs = 2000;
/** A table does not wait longer for its credentials: its other routes need it. */
const requestMsMax = 5000;

export class Borrower {
  readonly #options: BorrowerOptions;
  #again: NodeJS.Timeout | undefined;
  readonly #stopping = new AbortController();
  #turn = 0;

  constructor(options: BorrowerOptions) {
    this.#options = options;
  }

  /** Resolves after one try for what `table` names and is not here; goes on trying until another call. */
  async borrow(table: RouteTable): Promise<void> {
    const turn = ++this.#turn;
    clearTimeout(this.#again);
    const { credentials, name, problem } = this.#options;
    const wanted = credentials.missing(table);
    const shards = new Set(wanted.map(({ secret }) => credentialShardOf(name, secret)));
    const failures = await Promise.all([...shards].map(async (shard) => await this.#read(shard)));
    if (this.#stopping.signal.aborted || turn !== this.#turn) return;
    const left = wanted.length === 0 ? [] : credentials.missing(table);
    const missing = new Set(left.map(({ secret }) => secret));
    if (missing.size === 0) {
      problem(undefined);
      return;
    }
    const why = failures.find((failure) => failure !== undefined) ?? "not lent to the relays yet";
    problem(`${[...missing].sort().join(", ")}: ${why}; mail of the routes that need it waits`);
    this.#again = setTimeout(() => void this.borrow(table), againMs);
  }

  stop(): void {
    this.#stopping.abort(new Error("stopped"));
    clearTimeout(this.#again);
  }

  /** Why it could not be read. */
  async #read(shard: string): Promise<string | undefined> {
    const { api, namespace, credentials } = this.#options;
    try {
      const { status, body } = await api.request({
        path: `/api/v1/namespaces/${namespace}/secrets/${shard}`,
        signal: AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(requestMsMax)]),
      });
      if (status !== 200) return `Secret ${shard} answered ${status}: ${body.message ?? ""}`;
      const all = Object.values(valuesOf(body)).flatMap((text): VersionedCredential[] => {
        const lent = lentCredential(text);
        if (lent === undefined) return [];
        const { secret, version, values } = lent;
        return [{ secret, version, credential: credentialOf(values) }];
      });
      credentials.replace(all, shard);
      return undefined;
    } catch (error) {
      return errorText(error);
    }
  }
}
