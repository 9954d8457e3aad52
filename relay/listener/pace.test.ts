import assert from "node:assert/strict";
import { test } from "node:test";
import { Pace } from "./pace.ts";
import * as S from "./step.ts";

const waits = (pace: Pace, step: S.Step, count: number): number[] =>
  Array.from({ length: count }, () => pace.waitMs(step));

test("pace: five errors are answered at once, the others after a second, until a message comes", () => {
  const pace = new Pace();
  assert.deepEqual(waits(pace, S.C500Unknown, 7), [0, 0, 0, 0, 0, 1000, 1000]);
  pace.messageReceived();
  assert.deepEqual(waits(pace, S.C503Mail, 2), [0, 0]);
});

test("pace: a hundred words without mail are answered at once, then ten for each tenth of a second", () => {
  const pace = new Pace();
  assert.deepEqual(new Set(waits(pace, S.C250Noop, 100)), new Set([0]));
  const later = waits(pace, S.C250Reset, 20);
  assert.deepEqual(
    later.filter((ms) => ms > 0),
    [100, 100],
  );
});

test("pace: mail is never slowed, nor is what policy refuses", () => {
  const pace = new Pace();
  waits(pace, S.C500Unknown, 10);
  waits(pace, S.C250Noop, 200);
  const accepted: S.Step = {
    reply: { code: 250, status: "2.1.5", text: "" },
    recipient: "accepted",
  };
  const refused: S.Step = { reply: { code: 550, status: "5.7.1", text: "" }, recipient: "refused" };
  assert.deepEqual([pace.waitMs(accepted), pace.waitMs(refused), pace.waitMs(S.C354Go)], [0, 0, 0]);
});
