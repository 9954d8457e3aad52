/** Writes statuses, so many at a time, only those that differ from what stands. Adapter. */
import type { Api, KubeObject } from "../kube/api.ts";
import { errorText } from "../kube/error-text.ts";
import { type Condition, type Note, notesOf } from "./conditions.ts";
import type { OperatorLog } from "./log.ts";
import { idOf } from "./store.ts";

type Status = { readonly conditions: readonly Condition[] };

export type StatusWriterOptions = {
  readonly api: Api;
  readonly log: OperatorLog;
  readonly now: () => number;
  readonly concurrencyMax: number;
  /** A change that its owner should see; after the status that says it. */
  readonly note: (object: KubeObject, note: Note) => void;
};

export type Plural = "mailroutes" | "mailgrants";

/** The next status of the object as it stands, undefined where that says the same. `now` is RFC 3339. */
export type Plan = (standing: KubeObject, now: string) => Status | undefined;

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

  write(plural: Plural, object: KubeObject, plan: Plan): void {
    const path = pathOf(plural, object);
    const last = this.#written.get(path);
    const upon = object.metadata?.resourceVersion;
    const standing =
      last !== undefined && last.upon === upon ? { ...object, status: last.status } : object;
    const status = plan(standing, new Date(this.#options.now()).toISOString());
    if (status === undefined) return;
    this.#written.set(path, { upon, status });
    const before = ((standing["status"] ?? {}) as Partial<Status>).conditions ?? [];
    const notes = notesOf(before, status.conditions);
    this.#waiting.push(async () => await this.#put({ path, object, status, notes }));
    this.#run();
  }

  /** Forgets what it knows of objects that are gone. */
  forget(plural: Plural, present: Iterable<KubeObject>): void {
    const paths = new Set([...present].map((object) => pathOf(plural, object)));
    for (const path of this.#written.keys())
      if (path.includes(`/${plural}/`) && !paths.has(path)) this.#written.delete(path);
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

  async #put({ path, object, status, notes }: Work): Promise<void> {
    const { api, log, note } = this.#options;
    const failed = (text: string): void => log.problem({ where: idOf(object), text });
    try {
      const { status: code, body } = await api.request({
        method: "PATCH",
        path: `${path}/status`,
        contentType: "application/merge-patch+json",
        // With the uid: a resource deleted and made again is another one.
        body: { metadata: { uid: object.metadata?.["uid"] }, status },
      });
      if (code < 300) {
        for (const each of notes) note(object, each);
        return;
      }
      this.#written.delete(path);
      if (code !== 404 && code !== 409)
        failed(`writing its status answered ${code}: ${body.message ?? ""}`);
    } catch (error) {
      this.#written.delete(path);
      failed(`writing its status: ${errorText(error)}`);
    }
  }
}

type Work = {
  readonly path: string;
  readonly object: KubeObject;
  readonly status: Status;
  readonly notes: readonly Note[];
};

function pathOf(plural: Plural, { metadata }: KubeObject): string {
  const { namespace, name } = metadata ?? {};
  const within = namespace === undefined ? "" : `/namespaces/${String(namespace)}`;
  return `/apis/mailroute.dev/v1alpha1${within}/${plural}/${String(name)}`;
}
