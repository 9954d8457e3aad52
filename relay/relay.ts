/**
 * The relay, put together: table source, spool, queue, delivery, listeners, admin server. Wiring only; it
 * decides nothing and reads no environment. Order matters: table first, then the spool's mail, then the
 * listeners, so that without a table nobody is served, and what was accepted goes before what comes.
 */
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Installation } from "../routing/delegation.ts";
import type { Config } from "./config/config.ts";
import { outboundRoute } from "./config/outbound.ts";
import { createDelivery, type Delivery, type DeliveryOptions } from "./delivery/delivery.ts";
import { createResolver } from "./delivery/resolver.ts";
import { ReceivingBytes } from "./listener/limits.ts";
import { createListener, type Listener } from "./listener/server.ts";
import { startAdmin } from "./observe/http.ts";
import { createLog } from "./observe/log.ts";
import { createMetrics } from "./observe/metrics.ts";
import { observe } from "./observe/observe.ts";
import { networkSet } from "./policy/networks.ts";
import { Queue } from "./queue/queue.ts";
import { createReporter } from "./queue/reports.ts";
import { createIds } from "./reception/ids.ts";
import { createReception } from "./reception/reception.ts";
import { Spool } from "./spool/spool.ts";
import { CredentialStore } from "./table/credentials.ts";
import { watchRoutes } from "./table/directory.ts";
import { TableHolder } from "./table/holder.ts";
import { watchCertificate } from "./tls/certificate.ts";

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

const clock = {
  now: () => Date.now(),
  wait(ms: number, callback: () => void) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};

/** How long the relay waits for its first table before it says so again. */
const tableReminderMs = 10_000;

/** Throws ConfigError-like errors of spool, certificate and ports before anything is served. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { config } = options;
  const log = createLog({ write: options.write, now: clock.now, addresses: config.log.addresses });
  const tables = new TableHolder();
  const credentials = new CredentialStore();
  const listeners: Listener[] = [];
  let queue: Queue | undefined;
  let keys = 0;
  let problems: readonly { where: string; text: string }[] = [];
  let stopping = false;
  const spool = await Spool.open({
    directory: config.spool.directory,
    owner: config.spool.owner ?? config.hostname,
    limits: config.spool.limits,
  });
  const metrics = createMetrics({
    queued: () => queue?.size ?? 0,
    active: () => queue?.active ?? 0,
    oldestSeconds: () => ((queue?.oldestMs ?? clock.now()) - clock.now()) / -1000,
    spoolBytes: () => spool.bytes,
    connections: () => listeners.reduce((sum, each) => sum + each.connections, 0),
    table() {
      const table = tables.current;
      if (table === undefined) return undefined;
      const ageSeconds = (clock.now() - table.activatedAtMs) / 1000;
      return { digest: table.digest, ageSeconds, stale: table.stale, keys };
    },
  });
  const events = observe(log, metrics);
  const certificate =
    config.tls === undefined
      ? undefined
      : await watchCertificate(config.tls, {
          swapped: () => log.mended({ where: "tls" }),
          problem: (text) => log.problem({ where: "tls", text }),
        }).catch(async (error: unknown) => {
          await spool.close();
          throw error;
        });
  const source = watchRoutes({
    directory: config.routes.directory,
    copyDirectory: join(config.spool.directory, "table"),
    installation: {
      namespace: config.namespace,
      className: config.className,
      delegation: options.delegation,
    },
    tables,
    credentials,
    now: clock.now,
    events: {
      activated(table) {
        keys = table.keys;
        log.table(table);
      },
      problems(list) {
        reportProblems(problems, list, log);
        problems = list;
        metrics.problems(list.length);
      },
      failed: (error) => log.problem({ where: "routes", text: String(error) }),
    },
  });
  const admin = await startAdmin({
    ...config.admin,
    metrics: async () => await metrics.registry.metrics(),
    readiness: () => readiness({ tables, listening: listeners.length > 0 && !stopping, problems }),
    revision: () => revisionOf(tables),
  }).catch(async (error: unknown) => {
    await Promise.all([source.stop(), spool.close()]);
    throw error;
  });
  await firstTable(source.first, log);

  const outbound = outboundRoute(config);
  const nextId = createIds({ now: clock.now, random: Math.random });
  const postmaster = config.postmaster ?? `postmaster@${config.hostname}`;
  const resolver = createResolver({
    ...(config.dns.servers.length > 0 && { servers: config.dns.servers }),
    searchDomains: config.dns.searchDomains,
    timeoutMs: config.dns.timeoutMsMax,
  });
  const delivery = (options.delivery ?? createDelivery)({
    hostname: config.hostname,
    ...(config.inbound !== undefined && { inbound: config.inbound }),
    resolver,
    outboundPort: config.outbound.port,
    denyNetworks: config.outbound.denyNetworks,
    ownAddresses: () => ownAddresses(listeners),
    credentials,
    limits: deliveryLimits(config.delivery),
    events: events.delivery,
  });
  const reporter = createReporter({
    hostname: config.hostname,
    postmaster,
    outbound,
    nextId,
    now: clock.now,
    unreported: (about, why) => events.queue.unreported(about, why),
  });
  queue = new Queue({
    spool,
    tables,
    delivery,
    reporter,
    events: events.queue,
    clock,
    random: Math.random,
    outbound,
    limits: config.queue,
  });
  const queued = await queue.restore((id) => events.queue.corrupt(id));
  const reception = createReception({
    hostname: config.hostname,
    mark: `(Mailroute ${config.namespace}/${config.className})`,
    postmaster,
    trustedNetworks: networkSet(config.trustedNetworks),
    deniedNetworks: networkSet(config.denyNetworks),
    trustedListeners: new Set(config.listeners.filter((each) => each.trusted).map(({ name }) => name)),
    outboundRetry: config.retry,
    limits: config.limits,
    tables,
    spool,
    queue,
    events: events.reception,
    nextId,
    now: clock.now,
  });
  const receiving = new ReceivingBytes(config.limits.receivingBytesMax);
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
      events: events.listener,
      receiving,
    });
    await listener.listen();
    listeners.push(listener);
    addresses.push({ name, port: listener.address().port });
  }
  const shown = addresses.map(({ name, port }) => `${name}:${port}`).join(" ");
  log.started({ version: options.version, listeners: shown, admin: admin.port, queued });
  const running = queue;
  return {
    tables,
    addresses,
    adminPort: admin.port,
    async stop({ graceMs }) {
      if (stopping) return;
      stopping = true;
      log.stopping();
      await Promise.all(listeners.map((each) => each.stop({ graceMs })));
      await running.stop({ graceMs });
      await delivery.close({ graceMs: 1000 });
      resolver.close();
      certificate?.stop();
      await Promise.all([source.stop(), admin.close()]);
      log.stopped({ queued: running.size });
      await spool.close();
    },
  };
}

async function firstTable(first: Promise<void>, log: ReturnType<typeof createLog>): Promise<void> {
  for (;;) {
    const done = await Promise.race([first.then(() => true), sleep(tableReminderMs, false)]);
    if (done) return;
    log.problem({ where: "routes", text: "no route table yet: nothing is accepted before there is one" });
  }
}

type ReadinessFacts = {
  readonly tables: TableHolder;
  readonly listening: boolean;
  readonly problems: readonly { where: string; text: string }[];
};

function readiness({ tables, listening, problems }: ReadinessFacts): { ready: boolean; detail: string[] } {
  const detail = problems.map(({ where, text }) => `${where}: ${text}`);
  if (tables.current === undefined) detail.unshift("no route table yet");
  if (tables.current?.stale === true) detail.unshift("the route table may be old or incomplete");
  return { ready: tables.current !== undefined && listening, detail };
}

function revisionOf(tables: TableHolder): object {
  const table = tables.current;
  if (table === undefined) return { digest: null, stale: true };
  const { digest, activatedAtMs, stale } = table;
  return { digest, format: 1, activatedAt: new Date(activatedAtMs).toISOString(), stale };
}

function reportProblems(
  before: readonly { where: string; text: string }[],
  now: readonly { where: string; text: string }[],
  log: ReturnType<typeof createLog>,
): void {
  const known = new Set(before.map(({ where, text }) => `${where} ${text}`));
  const still = new Set(now.map(({ where }) => where));
  for (const problem of now) if (!known.has(`${problem.where} ${problem.text}`)) log.problem(problem);
  for (const where of new Set(before.map((each) => each.where))) if (!still.has(where)) log.mended({ where });
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
