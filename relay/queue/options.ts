/** What the queue is made of: its parts, its clock and its bounds. */
import type { Route } from "../../routing/route.ts";
import type { Delivery } from "../delivery/delivery.ts";
import type { Deliveries } from "../spool/deliveries.ts";
import type { Spool } from "../spool/spool.ts";
import type { TableHolder } from "../table/holder.ts";
import type { Clock } from "./due.ts";
import type { QueueEvents } from "./events.ts";
import type { Reporter } from "./reports.ts";

export type QueueOptions = {
  readonly spool: Spool;
  readonly deliveries: Pick<Deliveries, "begin">;
  readonly tables: TableHolder;
  readonly delivery: Delivery;
  readonly reporter: Reporter;
  readonly events: QueueEvents;
  readonly clock: Clock;
  readonly random: () => number;
  readonly outbound: Route;
  /** As formatAddress writes it. */
  readonly postmaster: string;
  readonly limits: QueueLimits;
};

export type QueueLimits = {
  readonly activeMax: number;
  readonly activePerDestinationMax: number;
  /** Beside activeMax: transactions with destinations that said nothing when they were last asked. */
  readonly silentMax: number;
  readonly bodyBytesInMemoryMax: number;
};

/** Of the connections that there may be, those who say nothing never hold more than an eighth for long. */
const silentShare = 1 / 8;

export function queueLimits({
  connectionsMax,
  ...limits
}: Omit<QueueLimits, "silentMax"> & { readonly connectionsMax: number }): QueueLimits {
  const most = Math.min(limits.activeMax, connectionsMax);
  return { ...limits, activeMax: most, silentMax: Math.max(1, Math.floor(most * silentShare)) };
}
