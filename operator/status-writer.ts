/**
 * Writes statuses, so many at a time, only those that differ from what stands. Adapter. It is handed every object
 * again whenever relays have been asked, so what it has looked at before must cost next to nothing; of several
 * statuses that wait for one object only the latest counts.
 */
import type { Api, ApiAnswer, KubeObject } from "../kube/api.ts";
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
export type Plan<Facts> = (
  standing: KubeObject,
  facts: Facts & { readonly now: string },
) => Status | undefined;

type Statement = {
  readonly object: KubeObject;
  readonly next: (standing: KubeObject, now: string) => Status | undefined;
};

/** What was written last upon which version: it stands until the watch brings another. */
type Written = { readonly upon: string | undefined; readonly status: Status };

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  /** Of each object what was known of it last. */
  readonly #seen = new WeakMap<KubeObject, object>();
  /** By path. */
  readonly #written = new Map<string, Written>();
  readonly #waiting = new Map<string, Statement>();
  readonly #active = new Set<string>();
  #failures = 0;
  #isStopped = false;
  #idle: (() => void)[] = [];

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  /** Another number after each status that could not be written: it is to be handed over again. */
  get failures(): number {
    return this.#failures;
  }

  /** Of the same object the same is to be said while each of its facts is the same one. */
  write<Facts extends object>(
    plural: Plural,
    object: KubeObject,
    facts: Facts,
    plan: Plan<Facts>,
  ): void {
    if (this.#isStopped) return;
    const seen = this.#seen.get(object);
    if (seen !== undefined && areSameFacts(seen, facts)) return;
    this.#seen.set(object, facts);
    const next = (standing: KubeObject, now: string) => plan(standing, { ...facts, now });
    this.#waiting.set(pathOf(plural, object), { object, next });
    this.#run();
  }

  /** Forgets what it knows of objects that are gone. */
  forget(plural: Plural, present: Iterable<KubeObject>): void {
    if (this.#written.size === 0) return;
    const paths = new Set([...present].map((object) => pathOf(plural, object)));
    for (const path of this.#written.keys())
      if (path.includes(`/${plural}/`) && !paths.has(path)) this.#written.delete(path);
  }

  /** What is not under way is not written any more. */
  stop(): void {
    this.#isStopped = true;
    this.#waiting.clear();
  }

  settled(): Promise<void> {
    if (this.#active.size === 0 && this.#waiting.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** An object's statuses are written one after the other, or the older could be the last. */
  #run(): void {
    for (const [path, statement] of this.#waiting) {
      if (this.#active.size >= this.#options.concurrencyMax) return;
      if (this.#active.has(path)) continue;
      this.#waiting.delete(path);
      const work = this.#next(path, statement);
      if (work === undefined) continue;
      this.#active.add(path);
      void this.#put(path, work).finally(() => {
        this.#active.delete(path);
        this.#run();
      });
    }
    if (this.#active.size > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #next(path: string, { object, next }: Statement): Work | undefined {
    const last = this.#written.get(path);
    const isUnseen = last !== undefined && last.upon === object.metadata?.resourceVersion;
    if (!isUnseen) this.#written.delete(path);
    const standing = isUnseen ? { ...object, status: last.status } : object;
    const status = next(standing, new Date(this.#options.now()).toISOString());
    if (status === undefined) return undefined;
    const before = ((standing["status"] ?? {}) as Partial<Status>).conditions ?? [];
    return { object, status, notes: notesOf(before, status.conditions) };
  }

  async #put(path: string, { object, status, notes }: Work): Promise<void> {
    const { api, log, note } = this.#options;
    const { uid, resourceVersion } = object.metadata ?? {};
    this.#written.set(path, { upon: resourceVersion, status });
    const request = api.request({
      method: "PATCH",
      path: `${path}/status`,
      contentType: "application/merge-patch+json",
      // With the uid: a resource deleted and made again is another one.
      body: { metadata: { uid }, status },
    });
    const problem = await request.then(refusalOf, (error: unknown) => ({ text: errorText(error) }));
    if (problem === undefined) {
      for (const each of notes) note(object, each);
      return;
    }
    this.#failures += 1;
    this.#written.delete(path);
    this.#seen.delete(object);
    if (problem.text !== undefined)
      log.problem({ where: idOf(object), text: `writing its status: ${problem.text}` });
  }
}

type Work = {
  readonly object: KubeObject;
  readonly status: Status;
  readonly notes: readonly Note[];
};

/** One level deep; both have the same names. Called ten thousand times in a row, so it makes nothing. */
function areSameFacts(seen: object, facts: object): boolean {
  for (const name in facts) if (Reflect.get(seen, name) !== Reflect.get(facts, name)) return false;
  return true;
}

/** Without words where the object is gone, or another one: the watch is about to say so. */
function refusalOf({ status, body }: ApiAnswer): { readonly text: string | undefined } | undefined {
  if (status < 300) return undefined;
  if (status === 404 || status === 409) return { text: undefined };
  return { text: `it answered ${status}: ${body.message ?? ""}` };
}

function pathOf(plural: Plural, { metadata }: KubeObject): string {
  const { namespace, name } = metadata ?? {};
  const within = namespace === undefined ? "" : `/namespaces/${String(namespace)}`;
  return `/apis/mailroute.dev/v1alpha1${within}/${plural}/${String(name)}`;
}
