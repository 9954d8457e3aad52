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
  readonly limits: {
    readonly activeMax: number;
    readonly activePerDestinationMax: number;
    readonly bodyBytesInMemoryMax: number;
  };
};
