/**
 * What the outcomes of an attempt say of its destination: pure. Whether a host answered, broke off, or nobody was
 * there, and then for how long it is left alone; lane.ts says what follows from that.
 */
import type { Retry } from "../../routing/route.ts";
import type { DeferCause, Outcome } from "../outcome.ts";
import type { Met } from "./lane.ts";

/** Words that say that no host was there to answer, or that it did not go on doing so. */
const silence: ReadonlySet<DeferCause> = new Set(["connect", "timeout", "dns", "tls", "protocol"]);
/** Nor was there one that let us in: each try more may cost the account. */
const unmet: ReadonlySet<DeferCause> = new Set([...silence, "auth"]);
/** Who says nothing costs a connection for as long as we wait; who does not know us may lock the account. */
const costly: ReadonlySet<DeferCause> = new Set(["timeout", "auth"]);
/** Words that say nothing of any host: it did not come to that. */
const ours: ReadonlySet<DeferCause> = new Set([
  ...(["credentials", "unavailable", "withdrawn", "stale", "local", "shutdown"] as const),
]);
const secondMs = 1000;
const minuteMs = 60 * secondMs;

/** What an attempt has shown of its destination. `retry`: of the route, which nobody is left alone for longer than. */
export function metBy(outcomes: readonly Outcome[], retry: Retry): Met {
  const isAll = (causes: ReadonlySet<DeferCause>): boolean =>
    outcomes.every((each) => each.kind === "deferred" && causes.has(each.cause));
  if (isAll(ours)) return "nothing";
  if (!isAll(unmet)) return "alive";
  const outcome = outcomes.find((each) => each.kind === "deferred" && each.isUnmet === true);
  if (outcome === undefined || !outcomes.every((each) => each === outcome))
    return isAll(silence) ? "hung" : "alive";
  const isCostly = outcome.kind === "deferred" && costly.has(outcome.cause);
  const [msMin, msMax] = isCostly ? [minuteMs, 15 * minuteMs] : [5 * secondMs, 5 * minuteMs];
  const rest = { msMin: Math.min(msMin, retry.initialMs), msMax: Math.min(msMax, retry.maxMs) };
  return { outcome, rest };
}
