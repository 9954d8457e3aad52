/**
 * Fair turns: work waits in a lane for its destination, lanes take turns, and each has at most so many
 * running, so that a slow or dead host holds up nobody else. Loop: it starts work and counts it, no more.
 */
import { Fifo } from "./fifo.ts";

export type LaneLimits = { readonly activeMax: number; readonly activePerLaneMax: number };

type Lane = {
  readonly key: string;
  readonly waiting: Fifo<() => Promise<void>>;
  active: number;
};

export class Lanes {
  readonly #limits: LaneLimits;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes that have something waiting and room to run it, in turn. */
  readonly #turns = new Fifo<Lane>();
  #active = 0;
  #stopped = false;

  constructor(limits: LaneLimits) {
    this.#limits = limits;
  }

  get active(): number {
    return this.#active;
  }

  /** Runs `work` when its lane's turn comes. `work` must not reject. */
  add(key: string, work: () => Promise<void>): void {
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { key, waiting: new Fifo(), active: 0 };
      this.#lanes.set(key, lane);
    }
    lane.waiting.push(work);
    if (lane.waiting.size === 1 && lane.active < this.#limits.activePerLaneMax) {
      this.#turns.push(lane);
    }
    this.#run();
  }

  /** Starts nothing more; what runs goes on. */
  stop(): void {
    this.#stopped = true;
  }

  #run(): void {
    while (!this.#stopped && this.#active < this.#limits.activeMax) {
      const lane = this.#turns.shift();
      if (lane === undefined) return;
      this.#start(lane);
    }
  }

  #start(lane: Lane): void {
    const work = lane.waiting.shift();
    if (work === undefined) return;
    lane.active += 1;
    this.#active += 1;
    if (lane.waiting.size > 0 && lane.active < this.#limits.activePerLaneMax) {
      this.#turns.push(lane);
    }
    void work().finally(() => this.#ended(lane));
  }

  #ended(lane: Lane): void {
    const wasFull = lane.active === this.#limits.activePerLaneMax;
    lane.active -= 1;
    this.#active -= 1;
    if (lane.waiting.size > 0) {
      if (wasFull) this.#turns.push(lane);
    } else if (lane.active === 0) this.#lanes.delete(lane.key);
    this.#run();
  }
}
