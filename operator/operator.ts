/**
 * The operator, put together: watch, lease, passes, statuses, probes. Loop: it owns when a pass runs and when
 * relays are asked; reconcile.ts is what a pass does. Everyone watches; only the leader writes.
 */
import type { Api, ApiOptions, KubeObject } from "../kube/api.ts";
import { errorText } from "../kube/error-text.ts";
import { type Readiness, startProbes } from "../kube/probes.ts";
import { type Reflector, reflect, type WatchState } from "../kube/reflector.ts";
import type { Note } from "./conditions.ts";
import { LentSecrets } from "./credentials.ts";
import { Drainer } from "./drain.ts";
import { postEvent } from "./events.ts";
import { ensureHandoverKey } from "./handover-key.ts";
import { HoldOff } from "./hold-off.ts";
import { holdLease } from "./lease.ts";
import { Lender } from "./lend.ts";
import { createOperatorLog, type OperatorLog } from "./log.ts";
import { Losses } from "./losses.ts";
import { createOperatorMetrics } from "./metrics.ts";
import { Programmed, type RelayAnswer } from "./programmed.ts";
import { Publisher } from "./publish.ts";
import { type GuardMemory, Reconciler } from "./reconcile.ts";
import { Relays } from "./relays.ts";
import type { OperatorSettings } from "./settings.ts";
import { StatusWriter } from "./status-writer.ts";
import { type Kind, Store } from "./store.ts";
import { watchTable } from "./table-watch.ts";
import { type Watches, watchesOf } from "./watches.ts";

export type OperatorOptions = {
  readonly settings: OperatorSettings;
  /** Opens the API server; connectCluster, or a test's own. */
  readonly connect: (options: ApiOptions) => Api;
  readonly version: string;
  readonly write: (text: string) => void;
};

export type Operator = {
  /** Resolves, with the reason, when the lease is lost: the process is to end. */
  readonly lost: Promise<string>;
  readonly adminPort: number;
  stop(): Promise<void>;
};

const requestMsMax = 30_000;
const quietMs = 100;
const waitMsMax = 1000;
/** For a while after a change relays are asked often, until all serve it; else now and then. */
const askOftenMs = 200;
/** However many passes follow each other. */
const askLateMsMax = 1000;
const askOftenForMs = 10_000;
const askMs = 2000;
/** After a pass that failed. */
const againMs = 2000;
const statusesAtOnceMax = 10;
const namesShownMax = 3;
const drainMs = 15_000;

export async function startOperator(options: OperatorOptions): Promise<Operator> {
  const { settings } = options;
  const log = createOperatorLog({ write: options.write, now: Date.now });
  const metrics = createOperatorMetrics();
  const api = options.connect({ requestMsMax, observe: metrics.request });
  const lost = Promise.withResolvers<string>();
  const session = new Session({ api, settings, log, metrics });
  const lease = holdLease({
    api,
    namespace: settings.namespace,
    name: `${settings.name}-operator`,
    identity: settings.identity,
    leading() {
      log.leading();
      session.lead();
    },
    lost(why) {
      log.lost(why);
      session.stop();
      lost.resolve(why);
    },
  });
  session.isLeader = () => lease.isLeader;
  const probes = await startProbes({
    host: settings.admin.host,
    port: settings.admin.port,
    metrics: async () => await metrics.registry.metrics(),
    readiness: () => session.readiness(),
    revision: () => session.revision(),
  });
  session.watch();
  log.started({
    version: options.version,
    installation: settings.name,
    identity: settings.identity,
    admin: probes.port,
  });
  return {
    lost: lost.promise,
    adminPort: probes.port,
    async stop() {
      session.stop();
      await lease.release();
      await probes.close();
      await api.close();
      log.stopped();
    },
  };
}

type WatchedKind = { readonly kind: Kind | "ConfigMap"; readonly path: string };

type SessionOptions = {
  readonly api: Api;
  readonly settings: OperatorSettings;
  readonly log: OperatorLog;
  readonly metrics: ReturnType<typeof createOperatorMetrics>;
};

/** One process's time: watching from the start, passes once it leads. */
class Session {
  isLeader: () => boolean = () => false;
  readonly #options: SessionOptions;
  readonly #watches: Watches;
  readonly #store: Store;
  readonly #holdOff: HoldOff;
  readonly #programmed = new Programmed();
  readonly #statuses: StatusWriter;
  /** By path: why a watch does not run. */
  readonly #broken = new Map<string, string>();
  readonly #reflectors: Reflector[] = [];
  #publisher: Publisher;
  #reconciler: Reconciler | undefined;
  #leads = false;
  #stopped = false;
  #askTimer: NodeJS.Timeout | undefined;
  #recheckTimer: NodeJS.Timeout | undefined;
  #drainTimer: NodeJS.Timeout | undefined;
  #askOftenUntilMs = 0;
  /** Since when an ask waits for relays to have taken a table; undefined: none does. */
  #askWaitsSinceMs: number | undefined;
  #wasOvertaken = false;
  readonly #relays: Relays;
  readonly #drainer: Drainer;
  readonly #memory: GuardMemory = { losses: new Losses(), hold: undefined };
  #answers: readonly RelayAnswer[] = [];

  constructor(options: SessionOptions) {
    this.#options = options;
    const { api, log, metrics, settings } = options;
    const { namespace, name } = settings;
    this.#watches = watchesOf({ namespaces: settings.watchNamespaces, grants: settings.grants });
    const { watched, given } = this.#watches;
    this.#store = new Store([...watched, ...given.map(({ scope }) => scope)]);
    this.#publisher = this.#newPublisher();
    const now = performance.now.bind(performance);
    this.#relays = new Relays({ api, namespace, ...settings.relays, now });
    this.#drainer = new Drainer({
      api,
      namespace,
      name,
      log,
      event: (claim, note) => this.#post(claim, note),
      count: metrics.drains,
      now: Date.now,
    });
    this.#statuses = new StatusWriter({
      api,
      log,
      now: Date.now,
      concurrencyMax: statusesAtOnceMax,
      note: (object, note) => this.#post(object, note),
    });
    this.#holdOff = new HoldOff({ quietMs, waitMsMax, run: async () => await this.#pass() });
  }

  watch(): void {
    const { watched, given } = this.#watches;
    for (const { scope, objects } of given) this.#store.apply(scope, { type: "listed", objects });
    for (const scope of watched) {
      const { path, metadataOnly } = scope;
      this.#reflectors.push(
        reflect({
          api: this.#options.api,
          path,
          metadataOnly,
          changed: (change) => {
            if (this.#store.apply(scope, change)) this.#holdOff.touch();
          },
          state: (state) => this.#watchState(scope, state),
        }),
      );
    }
    this.#watchTable();
  }

  /** What somebody deletes of the table is put back, and an approval counts at once. */
  #watchTable(): void {
    const { api, settings, log } = this.#options;
    const { namespace, name } = settings;
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const watch = { kind: "ConfigMap", path } as const;
    const reflector = watchTable({
      api,
      path,
      name,
      standing: () => this.#publisher.standing,
      lost: (names) => {
        for (const each of names) this.#publisher.lost(each);
        const text = `deleted by somebody, and put back: ${names.slice(0, namesShownMax).join(", ")}`;
        log.problem({ where: "route table", text });
        this.#holdOff.touch();
      },
      manifestWritten: () => {
        if (this.#reconciler?.isHolding === true) this.#holdOff.touch();
      },
      state: (state) => this.#watchState(watch, state),
    });
    this.#reflectors.push(reflector);
  }

  #watchState({ kind, path }: WatchedKind, { ok, error }: WatchState): void {
    const before = this.#broken.get(path);
    if (ok) this.#broken.delete(path);
    else this.#broken.set(path, error ?? "unknown");
    const { metrics, log } = this.#options;
    const siblings = this.#watches.watched.filter((each) => each.kind === kind);
    const paths = [path, ...siblings.map((each) => each.path)];
    metrics.watch({ kind, ok: !paths.some((each) => this.#broken.has(each)) });
    if (before !== this.#broken.get(path)) log.watch({ kind, path, ok, error });
  }

  lead(): void {
    this.#leads = true;
    this.#holdOff.touch();
    this.#askIn(0);
    void this.#drain();
  }

  stop(): void {
    this.#stopped = true;
    this.#holdOff.stop();
    this.#statuses.stop();
    clearTimeout(this.#askTimer);
    clearTimeout(this.#recheckTimer);
    clearTimeout(this.#drainTimer);
    for (const reflector of this.#reflectors) reflector.stop();
  }

  readiness(): Readiness {
    const detail = [...this.#broken].map(([path, error]) => `watching ${path}: ${error}`);
    if (!this.#store.isComplete) detail.unshift("not every kind has been listed yet");
    detail.push(...this.#drainer.troubles);
    detail.push(this.isLeader() ? "leader" : "standing by");
    return { ready: this.#store.isComplete, detail };
  }

  revision(): object {
    return { digest: this.#publisher.digest, leader: this.isLeader() };
  }

  #newPublisher(): Publisher {
    const { api, settings, log } = this.#options;
    const { namespace, name } = settings;
    const problem = (text: string): void => log.problem({ where: "route table", text });
    return new Publisher({ api, namespace, name, problem });
  }

  async #reconcilerNow(): Promise<Reconciler> {
    if (this.#reconciler !== undefined) return this.#reconciler;
    const { api, settings, log } = this.#options;
    const { namespace, name } = settings;
    this.#publisher = this.#newPublisher();
    const reconciler = new Reconciler({
      store: this.#store,
      secrets: new LentSecrets(api),
      lender: new Lender({ api, namespace, name, now: Date.now }),
      publisher: this.#publisher,
      programmed: this.#programmed,
      statuses: this.#statuses,
      installation: settings.installation,
      log,
      event: (route, note) => {
        const object = this.#store.all("MailRoute").get(route);
        if (object !== undefined) this.#post(object, { type: "Warning", ...note });
      },
      now: Date.now,
      memory: this.#memory,
    });
    await reconciler.restore();
    this.#reconciler = reconciler;
    return reconciler;
  }

  async #pass(): Promise<void> {
    if (!this.#leads || this.#stopped || !this.#store.isComplete || !this.isLeader()) return;
    try {
      const reconciler = await this.#reconcilerNow();
      const pass = await reconciler.publish(Math.max(this.#answers.length, 1));
      this.#options.metrics.pass(pass);
      clearTimeout(this.#recheckTimer);
      if (pass.recheckAtMs !== undefined) {
        const waitMs = Math.max(pass.recheckAtMs - Date.now(), 0) + 1;
        this.#recheckTimer = setTimeout(() => this.#holdOff.touch(), waitMs);
      }
      this.#statuses.forget("mailroutes", this.#store.all("MailRoute").values());
      this.#statuses.forget("mailgrants", this.#store.all("MailGrant").values());
      this.#askOftenUntilMs = performance.now() + askOftenForMs;
      this.#askAfterPass();
    } catch (error) {
      // Whatever is known of the published state may be wrong now: it is read again.
      this.#reconciler = undefined;
      this.#options.log.problem({ where: "reconcile", text: errorText(error) });
      if (!this.#stopped) setTimeout(() => this.#holdOff.touch(), againMs);
    }
  }

  #askIn(ms: number): void {
    clearTimeout(this.#askTimer);
    if (!this.#stopped) this.#askTimer = setTimeout(() => void this.#ask(), ms);
  }

  /** Relays take a table within moments: who asks sooner writes a status that is old when it is written. */
  #askAfterPass(): void {
    const nowMs = performance.now();
    this.#askWaitsSinceMs ??= nowMs;
    const leftMs = this.#askWaitsSinceMs + askLateMsMax - nowMs;
    this.#askIn(Math.max(Math.min(askOftenMs, leftMs), 0));
  }

  async #ask(): Promise<void> {
    this.#askWaitsSinceMs = undefined;
    const { digest: published } = this.#publisher;
    try {
      const answers = await this.#relays.ask();
      const isResized = answers.length !== this.#answers.length;
      this.#answers = answers;
      if (isResized) this.#holdOff.touch(); // each relay's share of the limits is another now
      // Answers from before a table was published say nothing of it; they are asked for again, once.
      const isOvertaken = published !== this.#publisher.digest && !this.#wasOvertaken;
      this.#wasOvertaken = isOvertaken;
      if (this.isLeader() && !isOvertaken) this.#reconciler?.report(answers);
    } catch (error) {
      this.#options.log.problem({ where: "relays", text: errorText(error) });
    }
    const isSettled = this.#answers.every(({ digest }) => digest === this.#publisher.digest);
    const isOften = !isSettled && performance.now() < this.#askOftenUntilMs;
    this.#askIn(isOften ? askOftenMs : askMs);
  }

  /** Claims that relays have left behind are nobody's hurry. */
  async #drain(): Promise<void> {
    const { api, settings, log } = this.#options;
    const { namespace, name } = settings;
    try {
      if (this.isLeader() && this.#store.isComplete) {
        const isThere = this.#store.all("Secret").has(`${namespace}/${name}-handover`);
        if (!isThere) await ensureHandoverKey({ api, namespace, name });
        await this.#drainer.look();
      }
    } catch (error) {
      log.problem({ where: "drain", text: errorText(error) });
    }
    const nextMs = this.#store.isComplete ? drainMs : againMs;
    if (!this.#stopped) this.#drainTimer = setTimeout(() => void this.#drain(), nextMs);
  }

  #post(object: KubeObject, note: Note): void {
    const { api, settings } = this.#options;
    void postEvent(api, { identity: settings.identity, object, note });
  }
}
