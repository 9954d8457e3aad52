/**
 * The relay, put together: table source, spool, queue, delivery, listeners, admin server. Wiring only; it
 * decides nothing and reads no environment. Order matters: table first, then the spool's mail, then the
 * listeners, so that without a table nobody is served, and what was accepted goes before what comes.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Api } from "../kube/api.ts";
import { errorText } from "../kube/error-text.ts";
import { startProbes } from "../kube/probes.ts";
import type { Installation } from "../routing/delegation.ts";
import type { Config } from "./config/config.ts";
import { outboundRoute } from "./config/outbound.ts";
import { resolverOptions } from "./config/resolver-options.ts";
import { createDelivery, type Delivery, type DeliveryOptions } from "./delivery/delivery.ts";
import { defaultHopLimits } from "./delivery/options.ts";
import { createResolver } from "./delivery/resolver.ts";
import { gaugesOf, generationIn, type RelayState, readiness, revisionOf } from "./facts.ts";
import { postmasterOf, prepareFrontDoor } from "./front-door.ts";
import { handOverAtTheEnd, openHandover } from "./leaving.ts";
import { createLog, type Log } from "./observe/log.ts";
import { createMetrics } from "./observe/metrics.ts";
import { type Observed, observe } from "./observe/observe.ts";
import { ProblemBoard } from "./observe/problem-board.ts";
import { RouteHealth } from "./observe/route-health.ts";
import { TokenProblems } from "./observe/token-problems.ts";
import { queueLimits } from "./queue/options.ts";
import { Orders } from "./queue/orders.ts";
import { Queue } from "./queue/queue.ts";
import { createReporter } from "./queue/reports.ts";
import { blamed, reasonToHold, restore } from "./queue/restore.ts";
import { openQueueSocket, queueOverHttp } from "./queue-control.ts";
import { createIds } from "./reception/ids.ts";
import { type Deliveries, openDeliveries } from "./spool/deliveries.ts";
import { Spool } from "./spool/spool.ts";
import type { Activated } from "./table/activation.ts";
import { watchConfigMaps } from "./table/config-maps.ts";
import { tableCopy } from "./table/copy.ts";
import { CredentialStore } from "./table/credentials.ts";
import { watchDirectory } from "./table/directory.ts";
import { TableHolder } from "./table/holder.ts";
import type { TableSource } from "./table/source.ts";
import type { Problem } from "./table/worker-messages.ts";

export type RelayOptions = {
  readonly config: Config;
  readonly version: string;
  readonly write: (text: string) => void;
  readonly delegation: Installation["delegation"];
  /** Addresses and networks from which nobody is trusted, beside those of the configuration. */
  readonly neverTrusted?: readonly string[];
  /** Makes the delivery in place of createDelivery; `mailroute dev` leads all mail to itself. */
  readonly delivery?: (options: DeliveryOptions) => Delivery;
};

export type Relay = {
  readonly tables: TableHolder;
  readonly addresses: readonly { readonly name: string; readonly port: number }[];
  readonly adminPort: number;
  /** Resolves where the spool takes nothing more in this process: it must end, and be started again. */
  readonly broken: Promise<void>;
  /** Stops taking mail, finishes what is under way within `graceMs`, leaves the rest on disk. */
  stop(options: { readonly graceMs: number }): Promise<void>;
};

const apiRequestMsMax = 30_000;

/** Connections to next hops that are in use when everything else has stopped. */
const closeConnectionsMs = 1000;

const clock = {
  now: () => Date.now(),
  wait(ms: number, callback: () => void) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/** How long the relay waits for its first table before it says so again. */
const tableReminderMs = 10_000;

/** What the parts share while they are put together; `closers` ends them in reverse order. */
type Site = {
  readonly options: RelayOptions;
  readonly closers: AsyncDisposableStack;
  readonly log: Log;
  readonly tables: TableHolder;
  readonly credentials: CredentialStore;
  readonly spool: Spool;
  readonly deliveries: Deliveries;
  readonly state: RelayState;
  readonly observed: Observed;
};

/** Throws where it cannot start, with words for whoever started it; nothing is then left running. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const closers = new AsyncDisposableStack();
  try {
    return await assemble(options, closers);
  } catch (error) {
    await closers.disposeAsync();
    throw error;
  }
}

async function assemble(options: RelayOptions, closers: AsyncDisposableStack): Promise<Relay> {
  const { config } = options;
  const log = createLog({ write: options.write, now: clock.now, addresses: config.log.addresses });
  const { directory } = config.spool;
  const broken = Promise.withResolvers<void>();
  const spool = await openSpool(config, broken.resolve);
  closers.defer(() => spool.close());
  const deliveries = openDeliveries(directory);
  closers.defer(() => deliveries.close());
  const state: RelayState = {
    queue: undefined,
    orders: undefined,
    listeners: [],
    own: [],
    problems: new ProblemBoard(log),
    keys: 0,
    stopping: false,
    graceMs: 0,
  };
  closers.defer(() => log.stopped({ queued: state.queue?.size ?? 0 }));
  const tables = new TableHolder();
  const metrics = createMetrics(gaugesOf({ state, spool, tables }));
  const health = new RouteHealth({ generationOf: (route) => generationIn(tables, route) });
  const tokens = new TokenProblems({ now: clock.now, board: state.problems });
  const observed = observe(log, metrics, { health, tokens });
  const credentials = new CredentialStore();
  const site: Site = {
    ...{ options, closers, log, tables, credentials },
    ...{ spool, deliveries, state, observed },
  };
  const common = { ...site, clusterApi: once(async () => await openCluster(site)) };
  const frontDoor = await prepareFrontDoor({
    ...common,
    config,
    neverTrustedHere: options.neverTrusted ?? [],
    metrics,
    now: clock.now,
  });
  const source = await startSource(common);
  const admin = await startProbes({
    ...config.admin,
    metrics: () => metrics.registry.metrics(),
    readiness: () => readiness(site),
    revision: () => revisionOf(tables, health),
    more: queueOverHttp({ state, tokenFile: config.admin.queueTokenFile }),
  });
  closers.defer(() => admin.close());
  await firstTable(source.first, log);

  const nextId = createIds({ now: clock.now, random: Math.random });
  handOverAtTheEnd(common);
  const queue = startQueue(site, nextId);
  const queued = await takeOver(site, queue);
  void queue.resume();
  await openQueueSocket({ ...site, spoolDirectory: directory });
  await openHandover(common, queue);
  const addresses = await frontDoor.open({ queue, nextId });
  const shown = addresses.map(({ name, port }) => `${name}:${port}`).join(" ");
  log.started({ version: options.version, listeners: shown, admin: admin.port, queued });
  return {
    tables,
    addresses,
    adminPort: admin.port,
    broken: broken.promise,
    async stop({ graceMs }) {
      state.stopping = true;
      state.graceMs = graceMs;
      log.stopping();
      await closers.disposeAsync();
    },
  };
}

async function openSpool({ spool, hostname }: Config, broken: () => void): Promise<Spool> {
  const { directory, limits, owner = hostname } = spool;
  return await Spool.open({ directory, owner, limits, broken });
}

/** What an earlier process has left; how many messages. */
async function takeOver(
  { options, spool, deliveries, observed }: Site,
  queue: Queue,
): Promise<number> {
  const queued = await restore({
    spool,
    take: (stored) => queue.restore(stored),
    hold: reasonToHold(spool, options.config.spool),
    diedAt: blamed(deliveries.left),
    now: clock.now,
    events: observed.queue,
  });
  await spool.settle();
  return queued;
}

async function startSource(
  site: Site & { readonly clusterApi: () => Promise<Api> },
): Promise<TableSource> {
  const { tables, credentials, log, state } = site;
  const common = {
    tables,
    credentials,
    now: clock.now,
    events: {
      activated(table: Activated) {
        state.keys = table.keys;
        log.table(table);
      },
      problems(list: readonly Problem[]) {
        state.problems.set("routes", list);
      },
      failed: (error: unknown) => log.problem({ where: "routes", text: errorText(error) }),
    },
  };
  const { config, delegation } = site.options;
  const { directory, installation, deniedNetworks } = config.routes;
  const copyDirectory = join(config.spool.directory, "table");
  const source =
    installation === undefined
      ? watchDirectory({
          ...common,
          directory: directory ?? "",
          copyDirectory,
          installation: {
            namespace: config.namespace,
            className: config.className,
            delegation,
            deniedNetworks,
          },
        })
      : watchConfigMaps({
          ...common,
          ...installation,
          copy: tableCopy(copyDirectory),
          api: await site.clusterApi(),
        });
  site.closers.defer(() => source.stop());
  return source;
}

/** Loaded only where it is needed: a relay without a cluster does not carry a Kubernetes client. */
async function openCluster({ closers }: Site): Promise<Api> {
  const { connectCluster } = await import("../kube/cluster.ts");
  const api = connectCluster({ requestMsMax: apiRequestMsMax });
  closers.defer(() => api.close());
  return api;
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function startQueue(site: Site, nextId: () => string): Queue {
  const { options, log, tables, credentials, spool, deliveries, observed, closers, state } = site;
  const { config } = options;
  const outbound = outboundRoute(config);
  const resolver = createResolver(resolverOptions(config));
  closers.defer(() => resolver.close());
  const delivery = (options.delivery ?? createDelivery)({
    hostname: config.hostname,
    ...(config.inbound !== undefined && { inbound: config.inbound }),
    resolver,
    outboundPort: config.outbound.port,
    mxDeniedNetworks: config.outbound.deniedNetworks,
    deniedNetworks: config.routes.deniedNetworks,
    ...(config.outbound.mtaSts && { sts: { directory: join(config.spool.directory, "mta-sts") } }),
    ownAddresses: () => state.own,
    credentials,
    relays: () => tables.current?.relays ?? 1,
    limits: deliveryLimits(config.delivery),
    events: observed.delivery,
  });
  closers.defer(() => delivery.close({ graceMs: closeConnectionsMs }));
  const reporter = createReporter({
    hostname: config.hostname,
    postmaster: postmasterOf(config),
    outbound,
    nextId,
    now: clock.now,
    unreported: observed.queue.unreported,
  });
  const { random } = Math;
  const events = observed.queue;
  const { connectionsMax } = config.delivery;
  const limits = queueLimits({ ...config.queue, connectionsMax });
  const queue = new Queue({
    spool,
    deliveries,
    tables,
    delivery,
    reporter,
    events,
    clock,
    random,
    outbound,
    postmaster: postmasterOf(config),
    limits,
  });
  state.queue = queue;
  state.orders = new Orders({
    queue,
    spool,
    tables,
    outbound,
    postmaster: postmasterOf(config),
    now: clock.now,
    ordered: log.ordered,
  });
  closers.defer(() => queue.stop({ graceMs: state.graceMs }));
  return queue;
}

async function firstTable(first: Promise<void>, log: Log): Promise<void> {
  for (;;) {
    const done = await Promise.race([
      first.then(() => true),
      sleep(tableReminderMs, false, { ref: false }),
    ]);
    if (done) return;
    log.problem({
      where: "routes",
      text: "no route table yet: nothing is accepted before there is one",
    });
  }
}

function deliveryLimits(limits: Config["delivery"]): NonNullable<DeliveryOptions["limits"]> {
  const { connectionsMax, connectionsPerHopMax, messagesPerConnectionMax, idleMsMax } = limits;
  const { connectMsMax, greetingMsMax, commandMsMax, dataMsMax } = limits;
  return {
    connectionsMax,
    connectionsPerHopMax,
    messagesPerConnectionMax,
    idleMsMax,
    connectMsMax,
    greetingMsMax,
    helloMsMax: commandMsMax,
    mailMsMax: commandMsMax,
    rcptMsMax: commandMsMax,
    tlsMsMax: Math.min(commandMsMax, defaultHopLimits.tlsMsMax),
    dataMsMax: Math.min(commandMsMax, defaultHopLimits.dataMsMax),
    dataBlockMsMax: Math.min(dataMsMax, defaultHopLimits.dataBlockMsMax),
    dataDoneMsMax: dataMsMax,
  };
}
