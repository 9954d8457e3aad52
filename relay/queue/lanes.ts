/**
 * Fair turns: work waits in a lane for its destination, lanes take turns, within a lane its parties do, and each
 * lane has at most so many running. A lane begins with two and earns more by work that met a living host, so that however many dead
 * or silent destinations there are, they leave room for the others. Loop: it starts work and counts it.
 */
import { FairLine } from "./fair-line.ts";
import { Fifo } from "./fifo.ts";

export type LaneLimits = { readonly activeMax: number; readonly activePerLaneMax: number };

/** What a piece of work has met; "nothing": it did not get that far. */
export type Met = "alive" | "dead" | "nothing";

type Work = () => Promise<Met>;

type Lane = {
  readonly key: string;
  readonly waiting: FairLine<Work>;
  active: number;
  /** How many may run now; from 1 to activePerLaneMax. */
  limit: number;
  /** It stands in line for a turn. */
  inLine: boolean;
  /** In the line of those for which there is no room before they have proved themselves. */
  isSetAside: boolean;
};

const limitAtFirst = 2;

export class Lanes {
  readonly #limits: LaneLimits;
  /** Of activeMax, what lanes that have not proved themselves may use together. */
  readonly #unprovenMax: number;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes that have something waiting and room to run it, in turn. */
  readonly #turns = new Fifo<Lane>();
  /** Lanes whose turn came while all room for the unproven was taken. */
  readonly #setAside = new Fifo<Lane>();
  #active = 0;
  #unproven = 0;
  #stopped = false;

  constructor(limits: LaneLimits) {
    this.#limits = limits;
    this.#unprovenMax = Math.max(1, Math.floor(limits.activeMax / 2));
  }

  get active(): number {
    return this.#active;
  }

  /** Runs `work` when its lane's turn comes, and in it that of `party`. `work` must not reject. */
  add(key: string, party: string, work: Work): void {
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      const limit = Math.min(limitAtFirst, this.#limits.activePerLaneMax);
      lane = { key, waiting: new FairLine(), active: 0, limit, inLine: false, isSetAside: false };
      this.#lanes.set(key, lane);
    }
    lane.waiting.push(party, work);
    this.#queue(lane);
    this.#run();
  }

  /** Starts nothing more; what runs goes on. */
  stop(): void {
    this.#stopped = true;
  }

  #queue(lane: Lane): void {
    if (lane.inLine || lane.waiting.size === 0 || lane.active >= lane.limit) return;
    lane.inLine = true;
    this.#turns.push(lane);
  }

  #run(): void {
    while (!this.#stopped && this.#active < this.#limits.activeMax) {
      const lane = this.#turns.shift();
      if (lane === undefined) return;
      const isProven = lane.limit > limitAtFirst;
      if (isProven || this.#unproven < this.#unprovenMax) this.#start(lane, isProven ? 0 : 1);
      else {
        lane.isSetAside = true;
        this.#setAside.push(lane);
      }
    }
  }

  #start(lane: Lane, unproven: 0 | 1): void {
    lane.inLine = false;
    const work = lane.waiting.shift();
    if (work === undefined) return;
    lane.active += 1;
    this.#active += 1;
    this.#unproven += unproven;
    this.#queue(lane);
    void work().then((met) => {
      this.#unproven -= unproven;
      this.#ended(lane, met);
    });
  }

  #ended(lane: Lane, met: Met): void {
    lane.active -= 1;
    this.#active -= 1;
    if (met === "alive") lane.limit = Math.min(lane.limit + 1, this.#limits.activePerLaneMax);
    if (met === "dead") lane.limit = Math.max(1, lane.limit >> 1);
    if (lane.waiting.size + lane.active === 0) this.#lanes.delete(lane.key);
    else this.#queue(lane);
    // It has proved itself, and need not wait for those that may never answer.
    if (lane.isSetAside && lane.limit > limitAtFirst) this.#callBack(lane);
    const waited = this.#nextSetAside();
    if (waited !== undefined) this.#callBack(waited);
    this.#run();
  }

  #callBack(lane: Lane): void {
    lane.isSetAside = false;
    this.#turns.push(lane);
  }

  /** Those that were called back in the meantime are passed over. */
  #nextSetAside(): Lane | undefined {
    for (;;) {
      const lane = this.#setAside.shift();
      if (lane === undefined || lane.isSetAside) return lane;
    }
  }
}
