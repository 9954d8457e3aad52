/**
 * The front door, put together: certificates, reception, one listener for each port. Wiring only: what is
 * listened on says relay/config/listeners.ts, who is let in and trusted relay/reception and relay/policy.
 */
import { networkInterfaces } from "node:os";
import type { Api } from "../kube/api.ts";
import { hostWithoutIpv6 } from "../kube/dual-stack.ts";
import { formatAddress, parseAddress } from "../routing/address.ts";
import { networkSet } from "../routing/network.ts";
import type { Authenticator } from "./auth/authenticator.ts";
import { prepareAuthentication } from "./authentication.ts";
import type { Config } from "./config/config.ts";
import { endpointsOf, type ListenerEndpoint } from "./config/listeners.ts";
import type { Endpoint } from "./delivery/own.ts";
import type { RelayState } from "./facts.ts";
import { nameList } from "./listener/certificate-names.ts";
import { ReceivingBytes } from "./listener/limits.ts";
import type { Reception } from "./listener/reception.ts";
import { createListener, type Listener, type ListenerOptions } from "./listener/server.ts";
import type { Certificates } from "./listener/tls-context.ts";
import { watchNeverTrusted } from "./never-trusted.ts";
import type { Log } from "./observe/log.ts";
import type { Metrics } from "./observe/metrics.ts";
import type { Observed } from "./observe/observe.ts";
import { HiddenClients } from "./policy/hidden-clients.ts";
import type { Queue } from "./queue/queue.ts";
import { createReception } from "./reception/reception.ts";
import type { Spool } from "./spool/spool.ts";
import type { TableHolder } from "./table/holder.ts";
import { watchCertificates } from "./tls/certificates.ts";

export type FrontDoorOptions = {
  readonly config: Config;
  /** Of this machine or pod alone, beside the configuration. */
  readonly neverTrustedHere: readonly string[];
  readonly closers: AsyncDisposableStack;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly tables: TableHolder;
  readonly spool: Spool;
  readonly state: RelayState;
  readonly observed: Observed;
  readonly clusterApi: () => Promise<Api>;
  readonly now: () => number;
};

export type Opening = {
  readonly queue: Queue;
  readonly nextId: () => string;
};

export type FrontDoor = {
  /** Listens on every port; rejects, with the listener's name, where one cannot be had. */
  open(opening: Opening): Promise<readonly { readonly name: string; readonly port: number }[]>;
};

type Prepared = {
  readonly authenticator: Authenticator | undefined;
  readonly certificates: Certificates | undefined;
};

/** Loads the certificates and the users: what is wrong with them is said before anything else is waited for. */
export async function prepareFrontDoor(options: FrontDoorOptions): Promise<FrontDoor> {
  const certificates = await certificatesOf(options);
  const settings = options.config.authentication;
  const authenticator = await prepareAuthentication({ ...options, settings });
  return {
    open: (opening) => startListeners(options, { ...opening, authenticator, certificates }),
  };
}

async function certificatesOf(options: FrontDoorOptions): Promise<Certificates | undefined> {
  const { config, closers, log, metrics, state, now } = options;
  if (config.tls === undefined) return undefined;
  const watched = await watchCertificates({
    config: config.tls,
    now,
    events: {
      loaded({ certificateFile }, { names, notAfterMs }) {
        metrics.certificate(certificateFile, notAfterMs);
        log.certificate({ file: certificateFile, names, notAfterMs });
      },
      faults: (faults) => state.problems.set("tls", faults),
    },
  });
  closers.defer(() => watched.stop());
  return watched;
}

type CommonOptions = Omit<ListenerOptions, "name" | "host" | "port">;

async function startListeners(
  options: FrontDoorOptions,
  { certificates, ...opening }: Opening & Prepared,
): Promise<{ name: string; port: number }[]> {
  const { config, log, observed, state, closers } = options;
  // All listeners stop at the same time, each within the grace.
  closers.defer(async () => {
    const { graceMs } = state;
    await Promise.all(state.listeners.map(async (each) => await each.stop({ graceMs })));
  });
  const clients = config.tls?.clientCertificates;
  const common = {
    hostname: config.hostname,
    ...(certificates !== undefined && { tls: certificates }),
    ...(clients !== undefined && { clientNames: nameList(clients.names) }),
    reception: receptionOf(options, opening),
    limits: config.limits,
    events: observed.listener,
    receiving: new ReceivingBytes(config.limits),
  };
  const addresses: { name: string; port: number }[] = [];
  for (const endpoint of endpointsOf(config.listeners)) {
    const listener = await listening(endpoint, common, log);
    state.listeners.push(listener);
    state.own.push(...addressesOf(listener));
    addresses.push({ name: endpoint.name, port: listener.address().port });
  }
  return addresses;
}

async function listening(
  endpoint: ListenerEndpoint,
  common: CommonOptions,
  log: Log,
): Promise<Listener> {
  const { name, host, port, kind, balancers } = endpoint;
  const listener = createListener({
    ...common,
    name,
    host,
    port,
    ...(kind === "submissions" && { implicitTls: true }),
    ...(kind !== "smtp" && { authentication: "Required" }),
    ...(balancers !== undefined && { balancers: networkSet(balancers) }),
  });
  try {
    await listener.listen();
    return listener;
  } catch (cause) {
    const ipv4 = hostWithoutIpv6(host, cause);
    if (ipv4 === undefined) {
      const place = `listeners: ${name} cannot listen on ${host} port ${port}`;
      throw new Error(`${place}: give it another port, or stop who has it`, { cause });
    }
    log.withoutIpv6({ listener: name, host: ipv4 });
    return await listening({ ...endpoint, host: ipv4 }, common, log);
  }
}

function receptionOf(
  options: FrontDoorOptions,
  opening: Omit<Opening & Prepared, "certificates">,
): Reception {
  const { config, neverTrustedHere, closers, tables, spool, metrics, state, observed, now } =
    options;
  const endpoints = endpointsOf(config.listeners);
  const neverTrusted = watchNeverTrusted([
    ...config.neverTrustedNetworks,
    ...neverTrustedHere,
    ...endpoints.flatMap(({ balancers = [] }) => balancers),
  ]);
  closers.defer(() => neverTrusted.stop());
  const trustedListeners = new Set(endpoints.flatMap((each) => (each.trusted ? [each.name] : [])));
  const hiddenClients = new HiddenClients(neverTrusted);
  return createReception({
    hostname: config.hostname,
    mark: `(Mailroute ${config.namespace}/${config.className})`,
    postmaster: postmasterOf(config),
    trust: {
      trustedNetworks: networkSet(config.trustedNetworks),
      neverTrusted,
      trustedListeners,
    },
    deniedNetworks: networkSet(config.deniedNetworks),
    hideAuthenticated: config.authentication.hideInReceived,
    outboundRetry: config.retry,
    limits: config.limits,
    tables,
    spool,
    events: observed.reception,
    began(client) {
      if (trustedListeners.has(client.listener)) return;
      const { isHidden, isNews } = hiddenClients.seen(client);
      if (isHidden) metrics.hiddenClient(client.listener);
      if (isNews) state.problems.set("listeners", hiddenClients.findings);
    },
    now,
    ...opening,
  });
}

/** The configuration has checked that it is an address. */
export function postmasterOf(config: Config): string {
  const text = config.postmaster ?? `postmaster@${config.hostname}`;
  const address = parseAddress(text);
  return address === undefined ? text : formatAddress(address);
}

/** Every address at which somebody could reach a listener. */
function addressesOf(listener: Listener): Endpoint[] {
  const { address, port } = listener.address();
  if (address !== "::" && address !== "0.0.0.0") return [{ address, port }];
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return [{ address, port }, ...all.map((each) => ({ address: each.address, port }))];
}
