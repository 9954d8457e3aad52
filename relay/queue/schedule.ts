/**
 * What follows from an attempt: pure. Decides whether a recipient is finished, waits or bounces; the queue
 * writes and sends. Back-off doubles from `initialMs` to `maxMs`, with up to a quarter added at random; who was not
 * tried himself waits for half of `maxMs` to all of it.
 */
import type { Retry } from "../../routing/route.ts";
import { assertNever, type Outcome, type Reply } from "../outcome.ts";
import type { Pending, StoredRecipient } from "../spool/records.ts";
import { isOurs, toldOf } from "./told.ts";

export type Step =
  | { readonly kind: "finished" }
  | { readonly kind: "retry"; readonly pending: Pending; readonly warn: boolean }
  | { readonly kind: "bounce"; readonly reply: Reply; readonly why: "refused" | "expired" };

export type Attempt = {
  readonly recipient: StoredRecipient;
  readonly pending: Pending;
  readonly outcome: Outcome;
  readonly retry: Retry;
  readonly nowMs: number;
  /** In [0, 1). */
  readonly jitter: number;
  /** Delay warnings go to trusted senders only. */
  readonly mayWarn: boolean;
  /** Nobody tried it: another found nobody at its destination, by whose life it is woken. */
  readonly isSpared?: boolean;
};

/** What became of a recipient by an attempt: the word for it in log and metrics. */
export type Result = "delivered" | "deferred" | "bounced";

export function resultOf(step: Step): Result {
  switch (step.kind) {
    case "finished":
      return "delivered";
    case "retry":
      return "deferred";
    case "bounce":
      return "bounced";
    default:
      return assertNever(step);
  }
}

/** Of the last reply, kept for each recipient that waits. */
const lastCharsMax = 200;
/** What `lastOf` has made of a reply, which never changes. */
const lastWords = new WeakMap<Reply, string>();

/** What is to happen to one recipient after one attempt. */
export function nextStep(attempt: Attempt): Step {
  const { outcome, recipient, nowMs } = attempt;
  switch (outcome.kind) {
    case "delivered":
      return { kind: "finished" };
    case "failed":
      return { kind: "bounce", reply: outcome.reply, why: "refused" };
    case "deferred":
      // Our own stop says nothing about the next hop: the attempt does not count.
      if (outcome.cause === "shutdown")
        return { kind: "retry", pending: attempt.pending, warn: false };
      if (nowMs >= recipient.expiresAtMs) {
        return { kind: "bounce", reply: expired(outcome), why: "expired" };
      }
      return later(attempt, outcome.reply);
    default:
      return assertNever(outcome);
  }
}

function later(attempt: Attempt, reply: Reply): Step {
  const { pending, recipient, nowMs, isSpared = false } = attempt;
  const mayWarn = attempt.mayWarn && !pending.warned;
  const warn = mayWarn && nowMs >= recipient.warnAtMs;
  const wakeAtMs = nowMs + (isSpared ? sparedMs(attempt) : backoffMs(attempt));
  // Its sender is told of the delay in time, whether or not it was tried.
  const atMs = isSpared && mayWarn && !warn ? Math.min(wakeAtMs, recipient.warnAtMs) : wakeAtMs;
  return {
    kind: "retry",
    warn,
    pending: {
      ...pending,
      attempts: pending.attempts + (isSpared ? 0 : 1),
      // The last attempt is at the expiry, not after it.
      dueAtMs: Math.max(Math.min(atMs, recipient.expiresAtMs), nowMs + 1),
      warned: pending.warned || warn,
      last: lastOf(reply),
    },
  };
}

/** Thousands may wait for the same reason: they share its words. */
function lastOf(reply: Reply): string {
  let last = lastWords.get(reply);
  if (last === undefined) {
    last = `${reply.code} ${reply.status} ${reply.text}`.slice(0, lastCharsMax);
    lastWords.set(reply, last);
  }
  return last;
}

function backoffMs({ pending, retry, jitter }: Attempt): number {
  const ms = Math.min(retry.initialMs * 2 ** Math.min(pending.attempts, 40), retry.maxMs);
  return Math.round(ms * (1 + jitter / 4));
}

/** Those that were tried find out for it; spread, so that thousands do not come at once. */
function sparedMs({ retry, jitter }: Attempt): number {
  return Math.round((retry.maxMs * (1 + jitter)) / 2);
}

/** RFC 3463 4.4.7, delivery time expired; made permanent, as it is final. */
function expired(outcome: Outcome): Reply {
  const { code, text } = toldOf(outcome).reply;
  const last = isOurs(outcome) ? text : `last: ${code} ${text}`;
  return { code: 554, status: "5.4.7", text: `delivery time expired; ${last}` };
}
