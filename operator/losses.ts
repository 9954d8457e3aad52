/**
 * Keys that go piece by piece: pure. A deleted CRD, or a namespace after the other, takes MailRoutes away over
 * seconds, and each compile by itself loses too little for the guard. So a table without routes that have vanished
 * waits until no more of them go, and what the guard is asked about is the table of a minute ago.
 */
import { judge, lostKeyCount } from "../routing/guard.ts";
import type { RouteId } from "../routing/route.ts";
import type { RouteTable } from "../routing/table.ts";

const windowMs = 60_000;
/** No more keys have gone for so long: the loss is whole. */
const quietMs = 1000;
/** Whoever deletes for ever has his deletions counted all the same. */
const waitMsMax = 5000;
/** One table of each such time is remembered. */
const spacingMs = 2000;

type InForce = { readonly table: RouteTable; readonly sinceMs: number };
type Loss = { readonly keys: number; readonly firstMs: number; readonly lastMs: number };

export class Losses {
  /** Tables that were in force within the window, the oldest first. */
  #inForce: readonly InForce[] = [];
  #loss: Loss | undefined;

  /** It knows of no table yet. */
  get isNew(): boolean {
    return this.#inForce.length === 0;
  }

  /** `table` is in force; `isMeant`: a person has said so, and what went before it is no loss. */
  published(table: RouteTable, { nowMs, isMeant }: { nowMs: number; isMeant: boolean }): void {
    this.#loss = undefined;
    const last = this.#inForce.at(-1);
    if (isMeant || last === undefined) this.#inForce = [{ table, sinceMs: nowMs }];
    else if (nowMs - last.sinceMs >= spacingMs)
      this.#inForce = [...this.#inForce, { table, sinceMs: nowMs }];
  }

  /** Why `next` loses too much of what was in force within the last minute; undefined: it does not. */
  refusal(next: RouteTable, nowMs: number): string | undefined {
    // The last one that was put in force before the window began was still in force when it did.
    const begun = this.#inForce.findLastIndex(({ sinceMs }) => sinceMs <= nowMs - windowMs);
    this.#inForce = this.#inForce.slice(Math.max(begun, 0));
    const [oldest] = this.#inForce;
    if (oldest === undefined) return undefined;
    const judgement = judge({ previous: oldest.table, next });
    return judgement.publish ? undefined : `${judgement.why} within a minute`;
  }

  /** When a table that loses keys of vanished routes may count, epoch ms; undefined: now. */
  waitUntilMs(
    { previous, next }: { readonly previous: RouteTable; readonly next: RouteTable },
    nowMs: number,
    isThere: (route: RouteId) => boolean,
  ): number | undefined {
    // Whoever edits a route means it; routes that vanish may be the first of many.
    const keys = lostKeyCount(previous, next, (route) => !isThere(route));
    if (keys === 0) {
      this.#loss = undefined;
      return undefined;
    }
    const known = this.#loss;
    const firstMs = known?.firstMs ?? nowMs;
    const lastMs = known?.keys === keys ? known.lastMs : nowMs;
    this.#loss = { keys, firstMs, lastMs };
    const untilMs = Math.min(lastMs + quietMs, firstMs + waitMsMax);
    return nowMs >= untilMs ? undefined : untilMs;
  }
}
