/**
 * What the relay says of itself: gauges, readiness, the revision it serves, what a person should mend. Reads
 * the state of the parts and changes none.
 */
import type { Readiness } from "../kube/probes.ts";
import type { RouteId } from "../routing/route.ts";
import { routeOf } from "../routing/table.ts";
import { format } from "../routing/wire-shard.ts";
import type { Endpoint } from "./delivery/own.ts";
import type { Listener } from "./listener/server.ts";
import type { Gauges } from "./observe/metrics.ts";
import type { ProblemBoard } from "./observe/problem-board.ts";
import type { RouteHealth } from "./observe/route-health.ts";
import type { Orders } from "./queue/orders.ts";
import type { Queue } from "./queue/queue.ts";
import type { Spool } from "./spool/spool.ts";
import type { TableHolder } from "./table/holder.ts";

/** What changes while the relay runs. */
export type RelayState = {
  queue: Queue | undefined;
  orders: Orders | undefined;
  readonly listeners: Listener[];
  /** Where the listeners can be reached; known from the moment that they listen, also after that. */
  readonly own: Endpoint[];
  readonly problems: ProblemBoard;
  keys: number;
  stopping: boolean;
  graceMs: number;
};

export type Facts = {
  readonly state: RelayState;
  readonly spool: Spool;
  readonly tables: TableHolder;
};

export function gaugesOf({ state, spool, tables }: Facts): Gauges {
  return {
    queued: () => state.queue?.size ?? 0,
    held: () => state.queue?.held ?? 0,
    active: () => state.queue?.active ?? 0,
    oldestSeconds: () => (Date.now() - (state.queue?.oldestMs ?? Date.now())) / 1000,
    spoolBytes: () => spool.bytes,
    problems: () => state.problems.all.length,
    connections: () => state.listeners.reduce((sum, each) => sum + each.connections, 0),
    table() {
      const table = tables.current;
      if (table === undefined) return undefined;
      const ageSeconds = (Date.now() - table.activatedAtMs) / 1000;
      return { digest: table.digest, ageSeconds, stale: table.stale, keys: state.keys };
    },
  };
}

export function readiness({ tables, state }: Pick<Facts, "tables" | "state">): Readiness {
  const detail = state.problems.all.map(({ where, text }) => `${where}: ${text}`);
  if (tables.current === undefined) detail.unshift("no route table yet");
  if (tables.current?.stale === true) detail.unshift("the route table may be old or incomplete");
  const ready = tables.current !== undefined && state.listeners.length > 0 && !state.stopping;
  return { ready, detail };
}

/** What the operator asks for: the table that is served, and the routes whose hosts take no mail. */
export function revisionOf(tables: TableHolder, health: RouteHealth): object {
  const table = tables.current;
  if (table === undefined) return { digest: null, stale: true };
  const { digest, activatedAtMs, stale } = table;
  const activatedAt = new Date(activatedAtMs).toISOString();
  const [failing, untold] = [health.failing(Date.now()), health.untold(Date.now())];
  return { digest, format, activatedAt, stale, failing, untold };
}

/** Of a route with hosts of its own, for `RouteHealth`: of the Internet's hosts no route is to blame. */
export function generationIn(tables: TableHolder, route: string): number | undefined {
  const { table } = tables.current ?? {};
  const found = table === undefined ? undefined : routeOf(table, route as RouteId);
  return found?.target.kind === "mx" ? undefined : found?.generation;
}
