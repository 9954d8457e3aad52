/**
 * How much a host is given that has said that it gets too much: half the connections, then, where only one
 * is left and it hangs up on us (421), ever more time between two messages; later a little more at a time,
 * until it has what it had. 4.7.x alone never takes the last connection's speed: greylisting says it of every
 * new sender. Pure.
 */

export type Allowance = {
  /** Connections at once. */
  readonly connectionsMax: number;
  /** From the beginning of one message to the next; 0: none. */
  readonly spacingMs: number;
  /** The most connections there were when it complained; with more it is unlimited again. */
  readonly fullAt: number;
  /** What begins before that is no new complaint: giving less must first have had its effect. */
  readonly settlesAtMs: number;
  readonly raiseAtMs: number;
};

const spacingMsMin = 200;
const spacingMsMax = 5_000;
const settleMs = 1_000;
/** As long without a complaint earns one connection more, or one message more a second. */
const raiseMs = 10_000;

export const unlimited: Allowance = {
  connectionsMax: Number.POSITIVE_INFINITY,
  spacingMs: 0,
  fullAt: 0,
  settlesAtMs: Number.NEGATIVE_INFINITY,
  raiseAtMs: 0,
};

export type Complaint = {
  /** Open, or being opened. */
  readonly connections: number;
  /** Of its reply. */
  readonly code: number;
  readonly nowMs: number;
};

export function pressed(allowance: Allowance, { connections, code, nowMs }: Complaint): Allowance {
  const had = Math.min(allowance.connectionsMax, Math.max(connections, 1));
  const { spacingMs } = allowance;
  const spaced = Math.min(Math.max(spacingMs * 2, spacingMsMin), spacingMsMax);
  return {
    connectionsMax: Math.max(1, Math.floor(had / 2)),
    spacingMs: had === 1 && code === 421 ? spaced : spacingMs,
    fullAt: Math.max(allowance.fullAt, connections),
    settlesAtMs: nowMs + settleMs,
    raiseAtMs: nowMs + raiseMs,
  };
}

/** After a time without one; the same where that time is not over. */
export function eased(allowance: Allowance, nowMs: number): Allowance {
  if (allowance === unlimited || nowMs < allowance.raiseAtMs) return allowance;
  const raiseAtMs = nowMs + raiseMs;
  if (allowance.spacingMs > 0) {
    const spacingMs = 1000 / (1000 / allowance.spacingMs + 1);
    return { ...allowance, raiseAtMs, spacingMs: spacingMs < spacingMsMin ? 0 : spacingMs };
  }
  const connectionsMax = allowance.connectionsMax + 1;
  return connectionsMax > allowance.fullAt
    ? unlimited
    : { ...allowance, raiseAtMs, connectionsMax };
}
