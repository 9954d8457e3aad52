import assert from "node:assert/strict";
import { test } from "node:test";
import type { DeferCause, Outcome } from "../outcome.ts";
import { metBy } from "./met.ts";

const retry = { initialMs: 600_000, maxMs: 3_600_000, expireAfterMs: 0, delayWarningAfterMs: 0 };
const reply = { code: 451, status: "4.4.1", text: "" };
const deferred = (cause: DeferCause, isUnmet?: true): Outcome => ({
  ...({ kind: "deferred", cause, reply } as const),
  ...(isUnmet && { isUnmet }),
});
const taken: Outcome = { kind: "delivered", reply, hop: "h" };
const refused: Outcome = { kind: "failed", reply };
const nobody = deferred("connect", true);
const mute = deferred("timeout", true);

const rows: readonly (readonly [string, readonly Outcome[], string])[] = [
  ["a message that was taken", [taken], "alive"],
  [
    "one that was refused for one recipient, after which it fell silent",
    [refused, deferred("timeout")],
    "alive",
  ],
  ["a host that defers", [deferred("reply")], "alive"],
  ["a host that broke off", [deferred("connect")], "hung"],
  ["nobody for one, after another host broke off", [deferred("connect"), nobody], "hung"],
  ["nobody", [nobody, nobody], "dead, rests 5 s to 5 min"],
  ["a host that never greets", [mute], "dead, rests 60 s to 15 min"],
  ["missing credentials", [deferred("credentials")], "nothing"],
  ["our own end", [deferred("shutdown")], "nothing"],
];
for (const [title, outcomes, want] of rows) {
  test(`met by an attempt: ${title}: ${want}`, () => {
    const met = metBy(outcomes, retry);
    const said =
      typeof met === "string"
        ? met
        : `dead, rests ${met.rest.msMin / 1000} s to ${met.rest.msMax / 60_000} min`;
    assert.equal(said, want);
  });
}

test("met by an attempt: nobody is left alone for longer than his route's mail waits", () => {
  const met = metBy([mute], { ...retry, initialMs: 1000, maxMs: 8000 });
  assert.ok(typeof met === "object");
  assert.deepEqual(met.rest, { msMin: 1000, msMax: 8000 });
});
