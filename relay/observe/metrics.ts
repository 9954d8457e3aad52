/**
 * The relay's metrics, for Prometheus. Every label is a closed set or a name from a MailRoute: `route` is
 * "namespace/name", "outbound", or "" where there was none; `hop` is host:port of a target, or "mx" for the Internet, whose
 * hosts have no end.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { AuthVerdict, Mechanism } from "../auth/identity.ts";
import { outboundRouteId } from "../config/outbound.ts";
import type { Opened, StsEvent, TokenEvent } from "../delivery/options.ts";
import type { LimitName } from "../listener/limits.ts";
import type { ProxyResult } from "../listener/proxy-reader.ts";
import type { Refusal } from "../listener/step.ts";
import type { CertificateResult } from "../listener/tls-facts.ts";
import type { RefusalReason } from "../policy/admit.ts";
import type { Attempted } from "../queue/events.ts";
import { resultOf } from "../queue/schedule.ts";

export type Metrics = ReturnType<typeof createMetrics>;

/** Values read when Prometheus asks. */
export type Gauges = {
  queued(): number;
  held(): number;
  active(): number;
  oldestSeconds(): number;
  spoolBytes(): number;
  connections(): number;
  problems(): number;
  table(): { digest: string; ageSeconds: number; stale: boolean; keys: number } | undefined;
};

const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300, 3600];

export function createMetrics(gauges: Gauges) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  registerGauges(gauges, registers);
  return {
    registry,
    ...receivingMetrics(registers),
    ...sendingMetrics(registers),
    ...stateMetrics(registers),
  };
}

function receivingMetrics(registers: Registry[]) {
  const counter = counters(registers);
  const accepted = counter("mailroute_accepted_total", "Messages answered 250.");
  const bytes = counter("mailroute_accepted_bytes_total", "Octets of messages answered 250.");
  const refused = counter("mailroute_refused_total", "Refusals by reason.", ["reason"]);
  const normalised = counter(
    "mailroute_normalised_total",
    "Messages of trusted clients whose line endings or beginning were mended.",
  );
  const limits = counter("mailroute_limits_total", "Limits that a client reached.", ["limit"]);
  const hidden = counter(
    "mailroute_hidden_clients_total",
    "Clients that sent from an address of a node, gateway or balancer: source NAT may hide who they are.",
    ["listener"],
  );
  const certificates = counter(
    "mailroute_client_certificates_total",
    "TLS sessions in which a client showed a certificate, where they are asked for.",
    ["result"],
  );
  const seconds = histogram(
    "mailroute_accept_seconds",
    "From the end of DATA to its answer.",
    registers,
  );
  const authentications = counter(
    "mailroute_authentications_total",
    "Attempts to authenticate, by mechanism and what came of them.",
    ["mechanism", "result"],
  );
  const submitted = counter(
    "mailroute_submitted_total",
    'Messages of authenticated clients, by the namespace of their ServiceAccount; "" is users.',
    ["namespace"],
  );
  return {
    authenticated: (mechanism: Mechanism, result: AuthVerdict["kind"]): void =>
      authentications.inc({ mechanism, result }),
    acceptedFrom: (namespace: string): void => submitted.inc({ namespace }),
    accepted(size: number, ms: number): void {
      accepted.inc();
      bytes.inc(size);
      seconds.observe(ms / 1000);
    },
    refused: (reason: RefusalReason | Refusal): void => refused.inc({ reason }),
    normalised: (): void => normalised.inc(),
    hiddenClient: (listener: string): void => hidden.inc({ listener }),
    clientCertificate: (result: CertificateResult): void => certificates.inc({ result }),
    limit: (limit: LimitName): void => limits.inc({ limit }),
  };
}

function sendingMetrics(registers: Registry[]) {
  const counter = counters(registers);
  const labels = ["result", "route", "hop", "cause"] as const;
  const recipients = counter(
    "mailroute_recipients_total",
    "Recipients after an attempt, by what became of them.",
    labels,
  );
  const reports = counter("mailroute_reports_total", "Delivery status notifications queued.");
  const unreported = counter(
    "mailroute_unreported_total",
    "Failures of which nobody could be told.",
  );
  const seconds = histogram(
    "mailroute_deliver_seconds",
    "From acceptance to delivery of a recipient.",
    registers,
  );
  const secured = counter(
    "mailroute_next_hop_connections_total",
    'Connections to next hops that were ready for messages: TLS version or "none", whether the certificate was verified, SASL mechanism or "", mode of the MTA-STS policy or "".',
    ["tls", "verified", "mechanism", "sts"],
  );
  const policies = counter(
    "mailroute_mta_sts_total",
    "MTA-STS policies fetched or not; mail hosts found that a policy does not name.",
    ["result"],
  );
  const tokens = counter(
    "mailroute_tokens_total",
    "Access tokens asked for at token endpoints (auth.oauth2).",
    ["result"],
  );
  const signatures = counter(
    "mailroute_dkim_total",
    "Messages on their way out for which a MailGrant has a DKIM key: signed, or unavailable and waiting.",
    ["result"],
  );
  const pick = attemptCounters(recipients);
  return {
    secured({ tls = "none", verified, mechanism, sts }: Opened): void {
      const how = { mechanism: mechanism ?? "", sts: sts ?? "" };
      secured.inc({ tls, verified: String(verified), ...how });
    },
    sts: (result: StsEvent["result"]): void => policies.inc({ result }),
    signed: (result: "signed" | "unavailable"): void => signatures.inc({ result }),
    token: (result: TokenEvent["result"]): void => tokens.inc({ result }),
    attempted(event: Attempted): void {
      pick(event).inc();
      if (event.outcome.kind !== "delivered") return;
      seconds.observe((event.nowMs - event.envelope.arrivedAtMs) / 1000);
    },
    reported: (): void => reports.inc(),
    unreported: (): void => unreported.inc(),
  };
}

function stateMetrics(registers: Registry[]) {
  const counter = counters(registers);
  const unsaved = counter("mailroute_spool_errors_total", "Writes that the spool refused.");
  const corrupt = counter("mailroute_corrupt_total", "Messages found damaged on disk.");
  const connections = counter("mailroute_connections_total", "Connections by direction and end.", [
    "direction",
    "result",
  ]);
  const proxied = counter(
    "mailroute_proxy_connections_total",
    "Connections at PROXY twins: forwarded and own are taken, the others are closed.",
    ["result"],
  );
  const expiry = new Gauge({
    name: "mailroute_certificate_expiry_timestamp_seconds",
    help: "When a listener's certificate ends, by its file, in seconds since 1970.",
    labelNames: ["file"],
    registers,
  });
  return {
    unsaved: (): void => unsaved.inc(),
    corrupt: (): void => corrupt.inc(),
    proxied: (result: ProxyResult): void => proxied.inc({ result }),
    certificate: (file: string, notAfterMs: number): void =>
      expiry.set({ file }, notAfterMs / 1000),
    connection: (direction: "in" | "out", result: "opened" | "refused" | "failed"): void =>
      connections.inc({ direction, result }),
  };
}

function counters(registers: Registry[]) {
  return <T extends string = never>(
    name: string,
    help: string,
    labelNames: readonly T[] = [],
  ): Counter<T> => new Counter({ name, help, labelNames, registers });
}

function histogram(name: string, help: string, registers: Registry[]): Histogram {
  return new Histogram({ name, help, buckets: durationBuckets, registers });
}

function registerGauges(gauges: Gauges, registers: Registry[]): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge("mailroute_queue_messages", "Messages in the queue.", gauges.queued);
  gauge(
    "mailroute_queue_held",
    "Messages that are held until somebody releases them.",
    gauges.held,
  );
  gauge("mailroute_queue_active", "Transactions with next hops under way.", gauges.active);
  gauge(
    "mailroute_queue_oldest_seconds",
    "Age of the oldest message; 0 when empty.",
    gauges.oldestSeconds,
  );
  gauge("mailroute_spool_bytes", "Octets of mail on disk.", gauges.spoolBytes);
  gauge("mailroute_connections", "Client connections open.", gauges.connections);
  gauge(
    "mailroute_problems",
    "Things that a person must mend: route files, certificates, clients behind source NAT.",
    gauges.problems,
  );
  gauge(
    "mailroute_table_age_seconds",
    "Time since the route table was activated.",
    () => gauges.table()?.ageSeconds ?? 0,
  );
  gauge("mailroute_table_stale", "1 while the table may be old.", () =>
    gauges.table()?.stale === false ? 0 : 1,
  );
  gauge("mailroute_table_keys", "Keys in the route table.", () => gauges.table()?.keys ?? 0);
  new Gauge({
    name: "mailroute_table_info",
    help: "The digest of the table in force, as a label.",
    labelNames: ["digest"],
    registers,
    collect() {
      this.reset();
      const table = gauges.table();
      if (table !== undefined) this.set({ digest: table.digest }, 1);
    },
  });
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  gauge(
    "mailroute_eventloop_block_seconds_max",
    "Longest event-loop delay since the last scrape.",
    () => {
      const seconds = delay.max / 1e9;
      delay.reset();
      return Number.isFinite(seconds) ? seconds : 0;
    },
  );
}

/** Children bound once by label values: making label objects per message costs more than counting. */
function attemptCounters(counter: Counter<"result" | "route" | "hop" | "cause">) {
  const children = new Map<string, ReturnType<typeof counter.labels>>();
  return (event: Attempted) => {
    const result = resultOf(event.step);
    const cause = event.outcome.kind === "deferred" ? event.outcome.cause : "";
    const hop = event.route === outboundRouteId ? "mx" : (event.outcome.hop ?? "");
    const key = `${result} ${cause} ${event.route} ${hop}`;
    let child = children.get(key);
    if (child === undefined) {
      child = counter.labels({ result, route: event.route, hop, cause });
      children.set(key, child);
    }
    return child;
  };
}
