/**
 * What runs now, counted by what is known of its destination. Whoever was never tried has a moment to show that he
 * lives; then he counts among the silent, and where there are enough of those he gives his room up to others who
 * wait. Loop: it owns one timer; which lane is next is lanes.ts's matter.
 */
import type { Clock } from "./due.ts";
import type { Lane, Standing } from "./lane.ts";

export type AttemptsOptions = {
  readonly limits: { readonly activeMax: number; readonly silentMax: number };
  readonly clock: Clock;
  /** Destinations that nobody has tried and that stand in line. */
  readonly waiting: () => number;
  /** Somebody's moment is over: `relieve` may make room. */
  readonly overdue: () => void;
};

export type Running<Item extends NonNullable<unknown>> = {
  readonly lane: Lane<Item>;
  /** As what it counts. */
  standing: Standing;
  readonly beganMs: number;
  /** To ask it to end; undefined: it may take its time. */
  readonly patience: AbortController | undefined;
};

/** Most hosts greet within a second. Those that make clients wait on purpose do so for longer, and get their turn later. */
const quietMsMax = 5000;

export class Attempts<Item extends NonNullable<unknown>> {
  readonly #options: AttemptsOptions;
  /** Of activeMax, what destinations that nobody has tried may use together. */
  readonly #untriedMax: number;
  readonly #counts: Record<Standing, number> = { untried: 0, living: 0, silent: 0 };
  /** Those that have their moment, the first begun first. */
  readonly #fresh = new Set<Running<Item>>();
  /** Those whose moment is over, and that had no room among the silent. */
  readonly #overdue = new Set<Running<Item>>();
  /** Those that were asked to end. */
  readonly #asked = new Set<Running<Item>>();
  #cancel: (() => void) | undefined;

  constructor(options: AttemptsOptions) {
    this.#options = options;
    this.#untriedMax = Math.max(1, Math.floor(options.limits.activeMax / 2));
  }

  get size(): number {
    const { untried, living, silent } = this.#counts;
    return untried + living + silent;
  }

  hasRoom(standing: Standing): boolean {
    const { activeMax, silentMax } = this.#options.limits;
    const { untried, living, silent } = this.#counts;
    if (standing === "silent") return silent < silentMax;
    if (untried + living >= activeMax) return false;
    return standing === "living" || untried < this.#untriedMax;
  }

  begin(lane: Lane<Item>): Running<Item> {
    const { standing } = lane;
    const patience = standing === "untried" ? new AbortController() : undefined;
    const running = { lane, standing, beganMs: this.#options.clock.now(), patience };
    this.#counts[standing] += 1;
    if (patience !== undefined) {
      this.#fresh.add(running);
      this.#arm();
    }
    return running;
  }

  end(running: Running<Item>): void {
    this.#counts[running.standing] -= 1;
    this.#fresh.delete(running);
    this.#overdue.delete(running);
    this.#asked.delete(running);
  }

  /**
   * Makes room for those who wait: among the silent while there is some, then by asking the longest overdue to end.
   * Whether there is more room now; of those that were asked, when they have ended.
   */
  relieve(): boolean {
    let isMore = false;
    for (const running of this.#overdue) {
      if (this.hasRoom("silent")) {
        this.#counts[running.standing] -= 1;
        running.standing = "silent";
        this.#counts.silent += 1;
        this.#overdue.delete(running);
        isMore = true;
      } else if (this.#asked.size < this.#options.waiting()) {
        this.#overdue.delete(running);
        this.#asked.add(running);
        running.patience?.abort();
      } else break;
    }
    return isMore;
  }

  stop(): void {
    this.#cancel?.();
  }

  #arm(): void {
    const [first] = this.#fresh;
    if (first === undefined || this.#cancel !== undefined) return;
    const ms = first.beganMs + quietMsMax - this.#options.clock.now();
    this.#cancel = this.#options.clock.wait(Math.max(ms, 0), () => this.#look());
  }

  #look(): void {
    this.#cancel = undefined;
    const beforeMs = this.#options.clock.now() - quietMsMax;
    for (const running of this.#fresh) {
      if (running.beganMs > beforeMs) break;
      this.#fresh.delete(running);
      this.#overdue.add(running);
    }
    this.#arm();
    this.#options.overdue();
  }
}
