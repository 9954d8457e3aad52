import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeferCause, Outcome } from "../outcome.ts";
import { type Attempt, nextStep } from "./schedule.ts";

const minute = 60_000;
const refused: Outcome = {
  kind: "deferred",
  cause: "connect",
  reply: { code: 451, status: "4.4.1", text: "connection refused" },
};
const base: Attempt = {
  recipient: {
    address: "a@b.test",
    key: "outbound",
    expiresAtMs: 1000 * minute,
    warnAtMs: 240 * minute,
  },
  pending: { attempts: 0, dueAtMs: 0, warned: false, last: "" },
  outcome: refused,
  retry: {
    initialMs: minute,
    maxMs: 60 * minute,
    expireAfterMs: 1000 * minute,
    delayWarningAfterMs: 240 * minute,
  },
  nowMs: 0,
  jitter: 0,
  mayWarn: true,
};

const waits: readonly { name: string; attempts: number; jitter: number; want: number }[] = [
  { name: "the first deferral waits the initial time", attempts: 0, jitter: 0, want: minute },
  { name: "the wait doubles with each attempt", attempts: 3, jitter: 0, want: 8 * minute },
  { name: "the wait is capped", attempts: 30, jitter: 0, want: 60 * minute },
  {
    name: "an absurd count of attempts does not overflow",
    attempts: 5000,
    jitter: 0,
    want: 60 * minute,
  },
  {
    name: "jitter adds up to a quarter",
    attempts: 0,
    jitter: 0.999,
    want: Math.round(minute * 1.24975),
  },
];

for (const { name, attempts, jitter, want } of waits) {
  test(`nextStep: ${name}`, () => {
    const step = nextStep({ ...base, jitter, pending: { ...base.pending, attempts } });
    assert.equal(step.kind, "retry");
    if (step.kind === "retry") {
      assert.equal(step.pending.dueAtMs, want);
      assert.equal(step.pending.attempts, attempts + 1);
    }
  });
}

test("nextStep: a deferral at the expiry bounces with 5.4.7 and the last words of the next hop", () => {
  const step = nextStep({ ...base, nowMs: 1000 * minute });
  assert.deepEqual(step, {
    kind: "bounce",
    why: "expired",
    reply: {
      code: 554,
      status: "5.4.7",
      text: "delivery time expired; last: 451 connection refused",
    },
  });
});

const ours: readonly DeferCause[] = ["credentials", "unavailable", "auth", "tls"];

for (const cause of ours) {
  test(`nextStep: an expiry for ${cause} tells the sender nothing of how this relay is set up`, () => {
    const reply = {
      code: 451,
      status: "4.3.5",
      text: "version 7 of Secret mail/vault is not here",
    };
    const outcome: Outcome = { kind: "deferred", cause, reply, hop: "vault.test:25" };
    const step = nextStep({ ...base, outcome, nowMs: 1000 * minute });
    assert.deepEqual(step, {
      kind: "bounce",
      why: "expired",
      reply: {
        code: 554,
        status: "5.4.7",
        text: "delivery time expired; the next hop could not be used because of a configuration problem of this relay",
      },
    });
  });
}

test("nextStep: the last wait ends at the expiry, not after it", () => {
  const step = nextStep({
    ...base,
    nowMs: 999 * minute + 30_000,
    pending: { ...base.pending, attempts: 20 },
  });
  assert.equal(step.kind === "retry" && step.pending.dueAtMs, 1000 * minute);
});

test("nextStep: our own shutdown does not count as an attempt", () => {
  const outcome: Outcome = { ...refused, cause: "shutdown" };
  assert.deepEqual(nextStep({ ...base, outcome }), {
    kind: "retry",
    warn: false,
    pending: base.pending,
  });
});

test("nextStep: a delay is told once, and only where it may be told", () => {
  const late = { ...base, nowMs: 240 * minute };
  const first = nextStep(late);
  assert.equal(first.kind === "retry" && first.warn, true);
  assert.equal(first.kind === "retry" && first.pending.warned, true);
  const second = nextStep({ ...late, pending: { ...base.pending, warned: true } });
  assert.equal(second.kind === "retry" && second.warn, false);
  const stranger = nextStep({ ...late, mayWarn: false });
  assert.equal(stranger.kind === "retry" && stranger.warn, false);
});

test("nextStep: a refusal bounces at once and a delivery finishes", () => {
  const reply = { code: 550, status: "5.1.1", text: "no such user" };
  assert.deepEqual(nextStep({ ...base, outcome: { kind: "failed", reply } }), {
    kind: "bounce",
    reply,
    why: "refused",
  });
  const done: Outcome = {
    kind: "delivered",
    reply: { code: 250, status: "2.0.0", text: "ok" },
    hop: "mx.test:25",
  };
  assert.deepEqual(nextStep({ ...base, outcome: done }), { kind: "finished" });
});

test("nextStep: who was not tried himself waits for half of the longest time to all of it, and no attempt is counted", () => {
  for (const [jitter, want] of [
    [0, 30 * minute],
    [0.5, 45 * minute],
  ] as const) {
    const step = nextStep({ ...base, jitter, isSpared: true });
    assert.ok(step.kind === "retry");
    assert.deepEqual([step.pending.dueAtMs, step.pending.attempts], [want, 0]);
  }
});

test("nextStep: who was not tried himself is looked at when his sender is to be told of the delay, and at his expiry", () => {
  const isSpared = true;
  const recipient = { ...base.recipient, warnAtMs: 10 * minute, expiresAtMs: 20 * minute };
  const first = nextStep({ ...base, recipient, isSpared });
  assert.ok(first.kind === "retry" && !first.warn);
  assert.equal(first.pending.dueAtMs, 10 * minute);
  const { pending } = first;
  const second = nextStep({ ...base, recipient, pending, nowMs: 10 * minute, isSpared });
  assert.ok(second.kind === "retry" && second.warn);
  assert.equal(second.pending.dueAtMs, 20 * minute);
  const last = nextStep({ ...base, recipient, nowMs: 20 * minute, isSpared });
  assert.ok(last.kind === "bounce" && last.why === "expired");
});
