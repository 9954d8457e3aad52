/**
 * Fair turns: work waits in a lane for its destination, lanes take turns, within a lane its parties do, and each lane
 * has at most so many running. A lane begins with one and earns more by work that met a living host. Who is silent
 * takes no room from the others for longer than a moment. Loop: it starts work, counts it, and owns the timers.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Outcome } from "../outcome.ts";
import { Attempts, type Running } from "./attempts.ts";
import { type Clock, DueTimes } from "./due.ts";
import { Fifo } from "./fifo.ts";
import { forgive, freshLane, type Lane, learn, type Met, type Standing } from "./lane.ts";

export type LaneLimits = {
  /** Running for destinations that live or have never been tried. */
  readonly activeMax: number;
  readonly activePerLaneMax: number;
  /** Beside those: running for destinations that were silent when they were last asked. */
  readonly silentMax: number;
};

export type LanesOptions<Item> = {
  readonly limits: LaneLimits;
  readonly clock: Clock;
  /**
   * Begins it when its lane's turn comes, and in it that of its party. Must not reject. Where `patience` is aborted,
   * others wait for its room: if it has not got to its message yet, it ends.
   */
  readonly run: (item: Item, patience: AbortSignal | undefined) => Promise<Met>;
  /**
   * It need not be tried: for its destination another has found nobody there, a moment ago. Resolves when what follows
   * is done, and must not reject.
   */
  readonly spare: (item: Item, outcome: Outcome) => Promise<void>;
};

/** Destinations that are remembered while nothing waits for them. */
const rememberedMax = 10_000;
/**
 * Those whose mail goes need many turns for each message: these take little of each. Turns are short where nothing else
 * happens; under full load it takes minutes until tens of thousands are told.
 */
const sparedAtOnceMax = 10;
const turnsBetween = 16;

export class Lanes<Item extends NonNullable<unknown>> {
  readonly #options: LanesOptions<Item>;
  readonly #lanes = new Map<string, Lane<Item>>();
  /** Lanes of which only what was learnt is left; the one that has rested longest is forgotten first. */
  readonly #remembered = new Set<Lane<Item>>();
  /** Lanes that have something waiting and may run it, in turn. */
  readonly #lines: Readonly<Record<Standing, Fifo<Lane<Item>>>> = {
    untried: new Fifo(),
    living: new Fifo(),
    silent: new Fifo(),
  };
  readonly #attempts: Attempts<Item>;
  /** Whose rest ends when. */
  readonly #rests: DueTimes;
  /** The last of those that are being told. */
  #spared: Promise<void> = Promise.resolve();
  #isUntriedsTurn = false;
  #stopped = false;

  constructor(options: LanesOptions<Item>) {
    this.#options = options;
    const { limits, clock } = options;
    this.#attempts = new Attempts({
      ...{ limits, clock },
      waiting: () => this.#lines.untried.size,
      overdue: () => this.#run(),
    });
    this.#rests = new DueTimes(clock, (key) => this.#rested(key));
  }

  get active(): number {
    return this.#attempts.size;
  }

  add(key: string, party: string, item: Item): void {
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = freshLane(key);
      this.#lanes.set(key, lane);
    }
    this.#remembered.delete(lane);
    lane.waiting.push(party, item);
    this.#queue(lane);
    this.#run();
  }

  /** What was learnt of a destination counts no more: a person or a new route says so. */
  rouse(key: string): void {
    const lane = this.#lanes.get(key);
    if (lane === undefined || lane.standing !== "silent") return;
    forgive(lane);
    lane.line = undefined; // in that of the silent ones it is passed over
    this.#rests.delete(key);
    this.#queue(lane);
    this.#run();
  }

  /** Starts nothing more; what runs goes on. */
  stop(): void {
    this.#stopped = true;
    this.#rests.stop();
    this.#attempts.stop();
  }

  /** What stands in line and will not be started any more: once stopped. */
  *takeWaiting(): Generator<Item> {
    for (const { waiting } of this.#lanes.values()) {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) yield item;
    }
  }

  #rested(key: string): void {
    const lane = this.#lanes.get(key);
    if (lane === undefined) return;
    lane.restUntilMs = 0; // whatever the clock says: it may have been set back
    this.#queue(lane);
    this.#run();
  }

  #queue(lane: Lane<Item>): void {
    if (lane.line !== undefined) return;
    if (lane.waiting.size === 0 || lane.active >= lane.limit) return;
    if (lane.restUntilMs > this.#options.clock.now()) {
      this.#rests.set(lane.key, lane.restUntilMs);
      return;
    }
    lane.line = lane.standing;
    this.#lines[lane.standing].push(lane);
  }

  #run(): void {
    if (this.#stopped) return;
    do {
      for (let lane = this.#next(); lane !== undefined; lane = this.#next()) this.#start(lane);
    } while (this.#attempts.relieve());
  }

  /** Those who live and those whom nobody has tried go by turns; silent ones take from neither. */
  #next(): Lane<Item> | undefined {
    const [first, second] = this.#isUntriedsTurn
      ? (["untried", "living"] as const)
      : (["living", "untried"] as const);
    for (const standing of [first, second, "silent"] as const) {
      if (!this.#attempts.hasRoom(standing)) continue;
      const lane = this.#firstOf(standing);
      if (lane === undefined) continue;
      this.#isUntriedsTurn = standing === "living";
      return lane;
    }
    return undefined;
  }

  #firstOf(standing: Standing): Lane<Item> | undefined {
    for (;;) {
      const lane = this.#lines[standing].shift();
      if (lane === undefined) return undefined;
      if (lane.line !== standing) continue;
      lane.line = undefined;
      if (lane.standing === standing && lane.active < lane.limit) return lane;
      this.#queue(lane); // something was learnt meanwhile
    }
  }

  #start(lane: Lane<Item>): void {
    const item = lane.waiting.shift();
    if (item === undefined) return;
    lane.active += 1;
    const running = this.#attempts.begin(lane);
    this.#queue(lane);
    void this.#options.run(item, running.patience?.signal).then((met) => this.#ended(running, met));
  }

  #ended(running: Running<Item>, met: Met): void {
    const { lane } = running;
    const { limits, clock } = this.#options;
    this.#attempts.end(running);
    lane.active -= 1;
    const limitMax = limits.activePerLaneMax;
    learn(lane, { met, limitMax, nowMs: clock.now() });
    if (lane.finding !== undefined) void this.#clear(lane);
    if (lane.waiting.size + lane.active === 0) this.#leave(lane);
    else this.#queue(lane);
    this.#run();
  }

  /**
   * Tells what waits what has been found; of all lanes, a few at a time, with turns for others after each. When the
   * lane has rested meanwhile its next is tried, and what that meets counts from then on.
   */
  async #clear(lane: Lane<Item>): Promise<void> {
    if (lane.isClearing) return;
    lane.isClearing = true;
    while (lane.finding !== undefined && !this.#stopped) {
      const before = this.#spared;
      const told = Promise.withResolvers<void>();
      this.#spared = told.promise;
      await before;
      await this.#tellSome(lane);
      for (let turns = turnsBetween; turns > 0; turns -= 1) await turn();
      told.resolve();
    }
    lane.isClearing = false;
    if (lane.waiting.size + lane.active === 0) this.#leave(lane);
    else this.#queue(lane);
    this.#run();
  }

  async #tellSome(lane: Lane<Item>): Promise<void> {
    const { finding, waiting } = lane;
    if (finding === undefined) return;
    const count = Math.min(finding.left, sparedAtOnceMax);
    finding.left -= count;
    if (finding.left === 0) lane.finding = undefined;
    const items = Array.from({ length: count }, () => waiting.shift());
    await Promise.all(items.map((item) => item && this.#options.spare(item, finding.outcome)));
  }

  #leave(lane: Lane<Item>): void {
    if (lane.isClearing) return; // it is still needed, and leaves when that is over
    if (lane.standing === "untried") {
      this.#lanes.delete(lane.key);
      return;
    }
    this.#remembered.delete(lane);
    this.#remembered.add(lane);
    if (this.#remembered.size <= rememberedMax) return;
    const [oldest] = this.#remembered;
    if (oldest === undefined) return;
    this.#remembered.delete(oldest);
    this.#lanes.delete(oldest.key);
    this.#rests.delete(oldest.key);
  }
}
