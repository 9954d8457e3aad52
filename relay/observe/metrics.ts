/**
 * The relay's metrics, for Prometheus. Every label is a closed set or a name from a MailRoute: `route` is
 * "namespace/name", "outbound" or "" ; `hop` is host:port of a target, or "mx" for the Internet, whose
 * hosts have no end.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Refusal } from "../listener/step.ts";
import type { RefusalReason } from "../policy/admit.ts";
import type { Attempted } from "../queue/events.ts";

export type Metrics = ReturnType<typeof createMetrics>;

/** Values read when Prometheus asks. */
export type Gauges = {
  queued(): number;
  active(): number;
  oldestSeconds(): number;
  spoolBytes(): number;
  connections(): number;
  table(): { digest: string; ageSeconds: number; stale: boolean; keys: number } | undefined;
};

const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300, 3600];

export function createMetrics(gauges: Gauges) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const accepted = new Counter({ name: "mailroute_accepted_total", help: "Messages answered 250.", registers });
  const acceptedBytes = new Counter({ name: "mailroute_accepted_bytes_total", help: "Octets of messages answered 250.", registers });
  const refused = new Counter({ name: "mailroute_refused_total", help: "Refusals by reason.", labelNames: ["reason"], registers });
  const normalised = new Counter({ name: "mailroute_normalised_total", help: "Messages of trusted clients whose line endings were mended.", registers });
  const attempts = new Counter({ name: "mailroute_recipients_total", help: "Recipients after an attempt, by what became of them.", labelNames: ["result", "route", "hop", "cause"], registers });
  const reports = new Counter({ name: "mailroute_reports_total", help: "Delivery status notifications queued.", registers });
  const unreported = new Counter({ name: "mailroute_unreported_total", help: "Failures of which nobody could be told.", registers });
  const unsaved = new Counter({ name: "mailroute_spool_errors_total", help: "Writes that the spool refused.", registers });
  const corrupt = new Counter({ name: "mailroute_corrupt_total", help: "Messages found damaged on disk.", registers });
  const problems = new Gauge({ name: "mailroute_problems", help: "Things that a person must mend: route files, certificates.", registers });
  const acceptSeconds = new Histogram({ name: "mailroute_accept_seconds", help: "From the end of DATA to its answer.", buckets: durationBuckets, registers });
  const deliverSeconds = new Histogram({ name: "mailroute_deliver_seconds", help: "From acceptance to delivery of a recipient.", buckets: durationBuckets, registers });
  const connectionsTotal = new Counter({ name: "mailroute_connections_total", help: "Connections by direction and end.", labelNames: ["direction", "result"], registers });
  const limits = new Counter({ name: "mailroute_limits_total", help: "Limits that a client reached.", labelNames: ["limit"], registers });
  registerGauges(gauges, registers);
  const pick = attemptCounters(attempts);
  return {
    registry,
    accepted(bytes: number, ms: number): void {
      accepted.inc();
      acceptedBytes.inc(bytes);
      acceptSeconds.observe(ms / 1000);
    },
    refused: (reason: RefusalReason | Refusal): void => refused.inc({ reason }),
    normalised: (): void => normalised.inc(),
    attempted(event: Attempted): void {
      pick(event).inc();
      if (event.outcome.kind === "delivered") {
        deliverSeconds.observe((event.nowMs - event.envelope.arrivedAtMs) / 1000);
      }
    },
    reported: (): void => reports.inc(),
    unreported: (): void => unreported.inc(),
    unsaved: (): void => unsaved.inc(),
    corrupt: (): void => corrupt.inc(),
    problems: (count: number): void => problems.set(count),
    connection: (direction: "in" | "out", result: "opened" | "refused" | "failed"): void =>
      connectionsTotal.inc({ direction, result }),
    limit: (limit: string): void => limits.inc({ limit }),
  };
}

function registerGauges(gauges: Gauges, registers: Registry[]): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({ name, help, registers, collect() { this.set(read()); } });
  };
  gauge("mailroute_queue_messages", "Messages in the queue.", gauges.queued);
  gauge("mailroute_queue_active", "Transactions with next hops under way.", gauges.active);
  gauge("mailroute_queue_oldest_seconds", "Age of the oldest message; 0 when empty.", gauges.oldestSeconds);
  gauge("mailroute_spool_bytes", "Octets of mail on disk.", gauges.spoolBytes);
  gauge("mailroute_connections", "Client connections open.", gauges.connections);
  gauge("mailroute_table_age_seconds", "Time since the route table was activated.", () => gauges.table()?.ageSeconds ?? 0);
  gauge("mailroute_table_stale", "1 while the table may be old.", () => (gauges.table()?.stale === false ? 0 : 1));
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
  gauge("mailroute_eventloop_block_seconds_max", "Longest event-loop delay since the last scrape.", () => {
    const seconds = delay.max / 1e9;
    delay.reset();
    return Number.isFinite(seconds) ? seconds : 0;
  });
}

/** Children bound once by label values: making label objects per message costs more than counting. */
function attemptCounters(counter: Counter<"result" | "route" | "hop" | "cause">) {
  const children = new Map<string, ReturnType<typeof counter.labels>>();
  return (event: Attempted) => {
    const result = resultOf(event);
    const cause = event.outcome.kind === "deferred" ? event.outcome.cause : "";
    const hop = event.route === "outbound" ? "mx" : (event.outcome.hop ?? "");
    const key = `${result} ${cause} ${event.route} ${hop}`;
    let child = children.get(key);
    if (child === undefined) {
      child = counter.labels({ result, route: event.route, hop, cause });
      children.set(key, child);
    }
    return child;
  };
}

function resultOf({ step, outcome }: Attempted): string {
  if (step.kind === "retry") return "deferred";
  if (step.kind === "bounce") return "bounced";
  return outcome.kind === "delivered" ? "delivered" : "failed";
}
