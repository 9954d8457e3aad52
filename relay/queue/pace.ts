/**
 * No more messages a second than a route allows: who must wait stands in his route's line and is woken when
 * his turn has come. Loop: it owns the lines and one timer for all of them; how fast is bucket.ts's matter,
 * and what a message does when it is woken, the queue's.
 */
import type { Route, RouteId } from "../../routing/route.ts";
import { type Bucket, fullBucket, fullInMs, refilled, taken, waitMs } from "./bucket.ts";
import { type Clock, DueTimes } from "./due.ts";
import { Fifo } from "./fifo.ts";

type Line = {
  perSecond: number;
  bucket: Bucket;
  /** Ids of messages, the longest waiting first; each stands in it once. */
  readonly waiting: Fifo<string>;
  readonly members: Set<string>;
  /** Has just been woken: it goes before those who wait. */
  called: string | undefined;
};

export type Turn = { readonly route: RouteId; readonly perSecond: number; readonly id: string };

/** Those woken who then do not go (their route has changed, their host has no room) for each token. */
const wokenInVainMax = 20;
const againMs = 50;

export class Pace {
  readonly #clock: Clock;
  readonly #wake: (id: string) => void;
  readonly #lines = new Map<string, Line>();
  readonly #due: DueTimes;

  constructor(clock: Clock, wake: (id: string) => void) {
    this.#clock = clock;
    this.#wake = wake;
    this.#due = new DueTimes(clock, (route) => this.#callNext(route));
  }

  /** Routes that are being held to their pace. */
  get size(): number {
    return this.#lines.size;
  }

  /** As `mayGo`, for a route that allows so many a second, or any number, to all relays together. */
  admits({ id: route, delivery }: Route, relays: number, id: string): boolean {
    const max = delivery.maxMessagesPerSecond;
    return max === undefined || this.mayGo({ route, perSecond: max / relays, id });
  }

  /** Whether the message may go now. If not, `wake` is called with its id when it should ask again. */
  mayGo({ route, perSecond, id }: Turn): boolean {
    const nowMs = this.#clock.now();
    let line = this.#lines.get(route);
    if (line === undefined) {
      const bucket = fullBucket(perSecond, nowMs);
      const empty = { waiting: new Fifo<string>(), members: new Set<string>(), called: undefined };
      line = { perSecond, bucket, ...empty };
      this.#lines.set(route, line);
      this.#due.set(route, nowMs + againMs);
    }
    const isChanged = line.perSecond !== perSecond;
    line.perSecond = perSecond;
    line.bucket = refilled(line.bucket, perSecond, nowMs);
    if (isChanged && line.members.size > 0) this.#arm(route, line);
    if (line.called === id || line.members.size === 0) {
      const bucket = taken(line.bucket);
      if (bucket !== undefined) {
        line.bucket = bucket;
        line.called = undefined;
        return true;
      }
    }
    if (line.members.has(id)) return false;
    line.members.add(id);
    line.waiting.push(id);
    if (line.members.size === 1) this.#arm(route, line);
    return false;
  }

  stop(): void {
    this.#due.stop();
  }

  #arm(route: string, line: Line, atLeastMs = 0): void {
    const ms = Math.max(waitMs(line.bucket, line.perSecond), atLeastMs);
    this.#due.set(route, this.#clock.now() + ms);
  }

  #callNext(route: string): void {
    const line = this.#lines.get(route);
    if (line === undefined) return;
    line.bucket = refilled(line.bucket, line.perSecond, this.#clock.now());
    let inVain = 0;
    while (inVain < wokenInVainMax && taken(line.bucket) !== undefined) {
      const id = line.waiting.shift();
      if (id === undefined) break;
      line.members.delete(id);
      line.called = id;
      this.#wake(id);
      if (line.called === id) inVain += 1;
      line.called = undefined;
    }
    if (line.members.size > 0) {
      this.#arm(route, line, inVain > 0 ? againMs : 0);
      return;
    }
    const ms = fullInMs(line.bucket, line.perSecond);
    if (ms === 0) this.#lines.delete(route);
    else this.#due.set(route, this.#clock.now() + ms);
  }
}
