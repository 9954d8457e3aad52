/** Writes statuses, so many at a time, only those that differ from what stands. Adapter. */
import type { Api, KubeObject } from "../kube/api.ts";
import { errorText } from "../kube/error-text.ts";
import type { Verdict } from "../routing/verdict.ts";
import type { OperatorLog } from "./log.ts";
import { nextStatus, type Served, type Status } from "./status.ts";
import { idOf } from "./store.ts";

export type StatusWriterOptions = {
  readonly api: Api;
  readonly log: OperatorLog;
  readonly now: () => number;
  readonly concurrencyMax: number;
};

type Work = {
  readonly object: KubeObject;
  readonly verdict: Exclude<Verdict, { kind: "other-class" }>;
  readonly served: Served;
};

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #waiting: (() => Promise<void>)[] = [];
  #active = 0;
  #idle: (() => void)[] = [];
  /** What we wrote last upon which version, until the watch brings another: no status is written twice. */
  readonly #written = new Map<
    string,
    { readonly upon: string | undefined; readonly status: Status }
  >();

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  write({ object, verdict, served }: Work): void {
    const id = idOf(object);
    const last = this.#written.get(id);
    const upon = object.metadata?.resourceVersion;
    const standing =
      last !== undefined && last.upon === upon ? { ...object, status: last.status } : object;
    const status = nextStatus({
      object: standing,
      verdict,
      served,
      now: new Date(this.#options.now()).toISOString(),
    });
    if (status === undefined) return;
    this.#written.set(id, { upon, status });
    this.#waiting.push(async () => await this.#put(object, status));
    this.#run();
  }

  /** Forgets what it knows of objects that are gone. */
  forget(present: ReadonlyMap<string, unknown>): void {
    for (const id of this.#written.keys()) if (!present.has(id)) this.#written.delete(id);
  }

  settled(): Promise<void> {
    if (this.#active === 0 && this.#waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #run(): void {
    while (this.#active < this.#options.concurrencyMax) {
      const work = this.#waiting.shift();
      if (work === undefined) break;
      this.#active += 1;
      void work().finally(() => {
        this.#active -= 1;
        this.#run();
      });
    }
    if (this.#active > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #put(object: KubeObject, status: Status): Promise<void> {
    const { namespace, name, uid } = object.metadata ?? {};
    const id = idOf(object);
    try {
      const answer = await this.#options.api.request({
        method: "PATCH",
        path: `/apis/mailroute.dev/v1alpha1/namespaces/${String(namespace)}/mailroutes/${String(name)}/status`,
        contentType: "application/merge-patch+json",
        // With the uid: a resource deleted and made again is another one.
        body: { metadata: { uid }, status },
      });
      if (answer.status < 300) return;
      this.#written.delete(id);
      if (answer.status !== 404 && answer.status !== 409) {
        this.#options.log.problem({
          where: id,
          text: `writing its status answered ${answer.status}: ${answer.body.message ?? ""}`,
        });
      }
    } catch (error) {
      this.#written.delete(id);
      this.#options.log.problem({
        where: id,
        text: `writing its status: ${errorText(error)}`,
      });
    }
  }
}
