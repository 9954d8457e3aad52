/** How long a host that cannot be used is left alone: doubled with each failure, then forgotten. Pure. */
import type { DeferCause } from "../outcome.ts";

export type Rest = { readonly failures: number; readonly untilMs: number };

export type RestLimits = { readonly restMsMin: number; readonly restMsMax: number };

const silenceFactor = 4;

/** Who says nothing costs more than who refuses, each time that he is asked. */
export function restLimits({ restMsMin, restMsMax }: RestLimits, cause: DeferCause): RestLimits {
  const factor = cause === "timeout" ? silenceFactor : 1;
  return { restMsMin: factor * restMsMin, restMsMax: factor * restMsMax };
}

export const noRest: Rest = { failures: 0, untilMs: 0 };

/** A failure during a rest (nothing else was left to try) does not make it longer. */
export function nextRest(rest: Rest, now: number, limits: RestLimits): Rest {
  if (now < rest.untilMs) return rest;
  const ms = Math.min(limits.restMsMin * 2 ** Math.min(rest.failures, 30), limits.restMsMax);
  return { failures: rest.failures + 1, untilMs: now + ms };
}
