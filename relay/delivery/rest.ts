/** How long a host that cannot be used is left alone: doubled with each failure, then forgotten. Pure. */

export type Rest = { readonly failures: number; readonly untilMs: number };

export const noRest: Rest = { failures: 0, untilMs: 0 };

/** A failure during a rest (nothing else was left to try) does not make it longer. */
export function nextRest(
  rest: Rest,
  now: number,
  limits: { readonly restMsMin: number; readonly restMsMax: number },
): Rest {
  if (now < rest.untilMs) return rest;
  const ms = Math.min(limits.restMsMin * 2 ** Math.min(rest.failures, 30), limits.restMsMax);
  return { failures: rest.failures + 1, untilMs: now + ms };
}
