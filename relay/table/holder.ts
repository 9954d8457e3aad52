/**
 * The table in force. Pure state: whoever holds a reference keeps the table that he began with, and a new
 * one is swapped in whole.
 */
import type { RouteTable } from "../../routing/table.ts";

export type ActiveTable = {
  readonly table: RouteTable;
  readonly digest: string;
  readonly activatedAtMs: number;
  /** It may be old: no source has confirmed it. Recipients without an explicit key are deferred. */
  readonly stale: boolean;
  /**
   * Keys are missing of which nobody knows (a file that was never readable): a suffix that matches may be
   * wider than one of them, so only `domain:` and `address:` keys count. An incomplete table is also stale.
   */
  readonly incomplete?: boolean;
  /** How many relays share what a route allows the whole installation; at least 1. */
  readonly relays: number;
};

export class TableHolder {
  #current: ActiveTable | undefined;
  readonly #subscribers: (() => void)[] = [];

  get current(): ActiveTable | undefined {
    return this.#current;
  }

  /** `changed` is called after each activation, in order of subscription. */
  subscribe(changed: () => void): void {
    this.#subscribers.push(changed);
  }

  activate(next: ActiveTable): void {
    this.#current = next;
    for (const changed of this.#subscribers) changed();
  }
}
