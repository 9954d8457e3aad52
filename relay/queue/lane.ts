/**
 * What is known of a destination, and what waits for it: pure. How an attempt changes it is here; who runs when is
 * lanes.ts's matter.
 */
import type { Outcome } from "../outcome.ts";
import { FairLine } from "./fair-line.ts";

/** What a piece of work has met. */
export type Met =
  /** A host that answered. */
  | "alive"
  /** A host that broke off, or fell silent in the middle. */
  | "hung"
  /** It did not get that far. */
  | "nothing"
  | Dead;

/** No host was there: what was learnt holds for everything that waits for the same destination. */
export type Dead = { readonly outcome: Outcome; readonly rest: RestLimits };

/** How long a dead destination is left alone at first, and at most. */
export type RestLimits = { readonly msMin: number; readonly msMax: number };

/**
 * `untried`: nobody knows. `living`: it answered when it was last asked. `silent`: nobody was there, or it broke off:
 * it goes behind all others, and has room of its own, so that it takes none from them.
 */
export type Standing = "untried" | "living" | "silent";

export type Lane<Item extends NonNullable<unknown>> = {
  readonly key: string;
  readonly waiting: FairLine<Item>;
  standing: Standing;
  active: number;
  /** How many may run now; from 1 to the most that a lane may have. */
  limit: number;
  /** Rests in a row. */
  rests: number;
  restUntilMs: number;
  /** In which line it stands for a turn. */
  line: Standing | undefined;
  /** It was found dead: what so many of those that wait are still to be told, until somebody knows better. */
  finding: { readonly outcome: Outcome; left: number } | undefined;
  /** They are being told. */
  isClearing: boolean;
};

export function freshLane<Item extends NonNullable<unknown>>(key: string): Lane<Item> {
  return {
    ...{ key, waiting: new FairLine<Item>(), standing: "untried", active: 0, limit: 1 },
    ...{ rests: 0, restUntilMs: 0, line: undefined, finding: undefined },
    isClearing: false,
  };
}

export type Lesson = { readonly met: Met; readonly limitMax: number; readonly nowMs: number };

/** What an attempt has met; where nobody was there, what waits in the lane need not be tried. */
export function learn(lane: Lane<NonNullable<unknown>>, { met, limitMax, nowMs }: Lesson): void {
  if (met === "nothing") return;
  lane.finding = undefined;
  if (met === "alive") {
    lane.limit = Math.min(lane.limit + 1, limitMax);
    lane.standing = "living";
    lane.rests = 0;
    lane.restUntilMs = 0;
    return;
  }
  const wasOne = lane.limit === 1;
  lane.limit = Math.max(1, lane.limit >> 1);
  if (!wasOne) return;
  lane.standing = "silent";
  if (met === "hung") return;
  const left = lane.waiting.size;
  lane.finding = left > 0 ? { outcome: met.outcome, left } : undefined;
  // What failed during a rest began before it, and says nothing new.
  if (nowMs < lane.restUntilMs) return;
  const { msMin, msMax } = met.rest;
  lane.restUntilMs = nowMs + Math.min(msMin * 2 ** Math.min(lane.rests, 30), msMax);
  lane.rests += 1;
}

/** Somebody knows better: it is tried as if nobody had. */
export function forgive(lane: Lane<NonNullable<unknown>>): void {
  if (lane.standing === "silent") lane.standing = "untried";
  lane.rests = 0;
  lane.restUntilMs = 0;
  lane.finding = undefined;
}
