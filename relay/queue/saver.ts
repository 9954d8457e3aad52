/**
 * Changes of the queue on their way to disk. Loop: what was done cannot be undone and must not be done again,
 * so that a change which the spool does not take is tried until it does.
 */
import type { Change } from "../spool/changes.ts";
import type { Spool } from "../spool/spool.ts";
import { isFull } from "../spool/spool-error.ts";
import type { Clock } from "./due.ts";

export type SaverOptions = {
  readonly spool: Pick<Spool, "commit" | "openReserve">;
  readonly clock: Clock;
  /** When it is aborted, what is not on disk stays in memory and ends with the process. */
  readonly signal: AbortSignal;
  readonly failed: (error: unknown) => void;
};

const againMs = 5000;

export class Saver {
  readonly #options: SaverOptions;
  #waiting = 0;

  constructor(options: SaverOptions) {
    this.#options = options;
  }

  /** Changes that are not on disk yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** One transaction; resolves when it is on disk, or when the process stops. */
  async save(changes: readonly Change[]): Promise<void> {
    const { spool, clock, signal, failed } = this.#options;
    this.#waiting += 1;
    try {
      for (;;) {
        try {
          await spool.commit(changes);
          return;
        } catch (error) {
          failed(error);
          if (signal.aborted) return;
          if (isFull(error) && (await spool.openReserve())) continue;
        }
        await new Promise<void>((resolve) => clock.wait(againMs, resolve));
        if (signal.aborted) return; // the spool may be another's by now
      }
    } finally {
      this.#waiting -= 1;
    }
  }
}
