/**
 * The relay, put together: table source, spool, queue, delivery, listeners, admin server. Wiring only; it
 * decides nothing and reads no environment. Order matters: table first, then the spool's mail, then the
 * listeners, so that without a table nobody is served, and what was accepted goes before what comes.
 */
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Readiness, startProbes } from "../kube/probes.ts";
import { formatAddress, parseAddress } from "../routing/address.ts";
import type { Installation } from "../routing/delegation.ts";
import { networkSet } from "../routing/network.ts";
import type { Config } from "./config/config.ts";
import { outboundRoute } from "./config/outbound.ts";
import { createDelivery, type Delivery, type DeliveryOptions } from "./delivery/delivery.ts";
import { createResolver } from "./delivery/resolver.ts";
import { ReceivingBytes } from "./listener/limits.ts";
import { createListener, type Listener } from "./listener/server.ts";
import { createLog, errorText, type Log } from "./observe/log.ts";
import { createMetrics, type Gauges, type Metrics } from "./observe/metrics.ts";
import { type Observed, observe } from "./observe/observe.ts";
import { Queue } from "./queue/queue.ts";
import { createReporter } from "./queue/reports.ts";
import { createIds } from "./reception/ids.ts";
import { createReception } from "./reception/reception.ts";
import { Spool } from "./spool/spool.ts";
import { CredentialStore } from "./table/credentials.ts";
import { type DirectorySource, watchRoutes } from "./table/directory.ts";
import { TableHolder } from "./table/holder.ts";
import type { Problem } from "./table/worker-messages.ts";
import { type Certificate, watchCertificate } from "./tls/certificate.ts";

export type RelayOptions = {
  readonly config: Config;
  readonly version: string;
  readonly write: (text: string) => void;
  readonly delegation: Installation["delegation"];
  /** Makes the delivery in place of createDelivery; `mailroute dev` leads all mail to itself. */
  readonly delivery?: (options: DeliveryOptions) => Delivery;
};

export type Relay = {
  readonly tables: TableHolder;
  readonly addresses: readonly { readonly name: string; readonly port: number }[];
  readonly adminPort: number;
  /** Stops taking mail, finishes what is under way within `graceMs`, leaves the rest on disk. */
  stop(options: { readonly graceMs: number }): Promise<void>;
};

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
  readonly state: State;
  readonly observed: Observed;
};

/** What changes while the relay runs. */
type State = {
  queue: Queue | undefined;
  readonly listeners: Listener[];
  problems: readonly Problem[];
  keys: number;
  stopping: boolean;
  graceMs: number;
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
  const { directory, limits } = config.spool;
  const spool = await Spool.open({
    directory,
    owner: config.spool.owner ?? config.hostname,
    limits,
  });
  closers.defer(() => spool.close());
  const state: State = {
    queue: undefined,
    listeners: [],
    problems: [],
    keys: 0,
    stopping: false,
    graceMs: 0,
  };
  closers.defer(() => log.stopped({ queued: state.queue?.size ?? 0 }));
  const tables = new TableHolder();
  const metrics = createMetrics(gaugesOf({ state, spool, tables }));
  const observed = observe(log, metrics);
  const credentials = new CredentialStore();
  const site: Site = { options, closers, log, tables, credentials, spool, state, observed };
  const certificate = await certificateOf(site);
  const source = startSource(site, metrics);
  const admin = await startProbes({
    ...config.admin,
    metrics: async () => await metrics.registry.metrics(),
    readiness: () => readiness(site),
    revision: () => revisionOf(tables),
  });
  closers.defer(() => admin.close());
  await firstTable(source.first, log);

  const nextId = createIds({ now: clock.now, random: Math.random });
  const queue = startQueue(site, nextId);
  const queued = await queue.restore((id) => observed.queue.corrupt(id));
  const addresses = await startListeners(site, { queue, nextId, certificate });
  const shown = addresses.map(({ name, port }) => `${name}:${port}`).join(" ");
  log.started({ version: options.version, listeners: shown, admin: admin.port, queued });
  return {
    tables,
    addresses,
    adminPort: admin.port,
    async stop({ graceMs }) {
      state.stopping = true;
      state.graceMs = graceMs;
      log.stopping();
      await closers.disposeAsync();
    },
  };
}

async function certificateOf({ options, closers, log }: Site): Promise<Certificate | undefined> {
  const { tls } = options.config;
  if (tls === undefined) return undefined;
  const certificate = await watchCertificate(tls, {
    swapped: () => log.mended({ where: "tls" }),
    problem: (text) => log.problem({ where: "tls", text }),
  });
  closers.defer(() => certificate.stop());
  return certificate;
}

function startSource(site: Site, metrics: Metrics): DirectorySource {
  const { options, tables, credentials, log, state } = site;
  const { config, delegation } = options;
  const source = watchRoutes({
    directory: config.routes.directory,
    copyDirectory: join(config.spool.directory, "table"),
    installation: {
      namespace: config.namespace,
      className: config.className,
      delegation,
      deniedCIDRs: config.routes.deniedNetworks,
    },
    tables,
    credentials,
    now: clock.now,
    events: {
      activated(table) {
        state.keys = table.keys;
        log.table(table);
      },
      problems(list) {
        reportProblems(state.problems, list, log);
        state.problems = list;
        metrics.problems(list.length);
      },
      failed: (error) => log.problem({ where: "routes", text: errorText(error) }),
    },
  });
  site.closers.defer(() => source.stop());
  return source;
}

function startQueue(site: Site, nextId: () => string): Queue {
  const { options, tables, credentials, spool, observed, closers, state } = site;
  const { config } = options;
  const outbound = outboundRoute(config);
  const resolver = createResolver({
    ...(config.dns.servers.length > 0 && { servers: config.dns.servers }),
    searchDomains: config.dns.searchDomains,
    timeoutMs: config.dns.timeoutMsMax,
  });
  closers.defer(() => resolver.close());
  const delivery = (options.delivery ?? createDelivery)({
    hostname: config.hostname,
    ...(config.inbound !== undefined && { inbound: config.inbound }),
    resolver,
    outboundPort: config.outbound.port,
    denyNetworks: config.outbound.denyNetworks,
    deniedNetworks: config.routes.deniedNetworks,
    ownAddresses: () => ownAddresses(state.listeners),
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
  const limits = config.queue;
  const queue = new Queue({
    spool,
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
  closers.defer(() => queue.stop({ graceMs: state.graceMs }));
  return queue;
}

type Receiving = {
  readonly queue: Queue;
  readonly nextId: () => string;
  readonly certificate: Certificate | undefined;
};

async function startListeners(
  site: Site,
  { queue, nextId, certificate }: Receiving,
): Promise<Relay["addresses"]> {
  const { options, tables, spool, observed, state, closers } = site;
  const { config } = options;
  const trusted = config.listeners.filter((each) => each.trusted);
  const reception = createReception({
    hostname: config.hostname,
    mark: `(Mailroute ${config.namespace}/${config.className})`,
    postmaster: postmasterOf(config),
    trustedNetworks: networkSet(config.trustedNetworks),
    deniedNetworks: networkSet(config.denyNetworks),
    trustedListeners: new Set(trusted.map(({ name }) => name)),
    outboundRetry: config.retry,
    limits: config.limits,
    tables,
    spool,
    queue,
    events: observed.reception,
    nextId,
    now: clock.now,
  });
  const receiving = new ReceivingBytes(config.limits.receivingBytesMax);
  // All listeners stop at the same time, each within the grace.
  closers.defer(async () => {
    const { graceMs } = state;
    await Promise.all(state.listeners.map(async (each) => await each.stop({ graceMs })));
  });
  const addresses: { name: string; port: number }[] = [];
  for (const { name, host, port, implicitTls } of config.listeners) {
    const listener = createListener({
      name,
      host,
      port,
      hostname: config.hostname,
      ...(certificate !== undefined && { tls: certificate }),
      ...(implicitTls && { implicitTls }),
      reception,
      limits: config.limits,
      events: observed.listener,
      receiving,
    });
    await listener.listen();
    state.listeners.push(listener);
    addresses.push({ name, port: listener.address().port });
  }
  return addresses;
}

/** The configuration has checked that it is an address. */
function postmasterOf(config: Config): string {
  const text = config.postmaster ?? `postmaster@${config.hostname}`;
  const address = parseAddress(text);
  return address === undefined ? text : formatAddress(address);
}

function gaugesOf({ state, spool, tables }: Pick<Site, "state" | "spool" | "tables">): Gauges {
  return {
    queued: () => state.queue?.size ?? 0,
    active: () => state.queue?.active ?? 0,
    oldestSeconds: () => (clock.now() - (state.queue?.oldestMs ?? clock.now())) / 1000,
    spoolBytes: () => spool.bytes,
    connections: () => state.listeners.reduce((sum, each) => sum + each.connections, 0),
    table() {
      const table = tables.current;
      if (table === undefined) return undefined;
      const ageSeconds = (clock.now() - table.activatedAtMs) / 1000;
      return { digest: table.digest, ageSeconds, stale: table.stale, keys: state.keys };
    },
  };
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

function readiness({ tables, state }: Site): Readiness {
  const detail = state.problems.map(({ where, text }) => `${where}: ${text}`);
  if (tables.current === undefined) detail.unshift("no route table yet");
  if (tables.current?.stale === true) detail.unshift("the route table may be old or incomplete");
  const ready = tables.current !== undefined && state.listeners.length > 0 && !state.stopping;
  return { ready, detail };
}

function revisionOf(tables: TableHolder): object {
  const table = tables.current;
  if (table === undefined) return { digest: null, stale: true };
  const { digest, activatedAtMs, stale } = table;
  return { digest, format: 1, activatedAt: new Date(activatedAtMs).toISOString(), stale };
}

function reportProblems(before: readonly Problem[], now: readonly Problem[], log: Log): void {
  const known = new Set(before.map(({ where, text }) => `${where} ${text}`));
  const still = new Set(now.map(({ where }) => where));
  for (const problem of now)
    if (!known.has(`${problem.where} ${problem.text}`)) log.problem(problem);
  for (const where of new Set(before.map((each) => each.where)))
    if (!still.has(where)) log.mended({ where });
}

/** Every address at which somebody could reach our own listeners. */
function ownAddresses(listeners: readonly Listener[]): { address: string; port: number }[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return listeners.flatMap((listener) => {
    const { address, port } = listener.address();
    if (address !== "::" && address !== "0.0.0.0") return [{ address, port }];
    return [{ address, port }, ...all.map((each) => ({ address: each.address, port }))];
  });
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
    dataDoneMsMax: dataMsMax,
  };
}
