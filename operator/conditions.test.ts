import assert from "node:assert/strict";
import { test } from "node:test";
import { type Condition, conditionsOf, notesOf, type Truth } from "./conditions.ts";

const now = "2026-01-02T03:04:05.000Z";

const condition = (type: string, status: Truth, reason = "R"): Condition => ({
  type,
  status,
  reason,
  message: `${type} ${status}`,
  observedGeneration: 1,
  lastTransitionTime: now,
});

const cases: readonly {
  readonly name: string;
  readonly before: readonly Condition[];
  readonly next: readonly Condition[];
  readonly want: readonly string[];
}[] = [
  {
    name: "what is refused at first sight is a warning",
    before: [condition("Accepted", "Unknown")],
    next: [condition("Accepted", "False", "NotPermitted")],
    want: ["Warning NotPermitted Accepted False"],
  },
  {
    name: "what is well at first sight is no news",
    before: [condition("Accepted", "Unknown"), condition("Delivering", "Unknown")],
    next: [condition("Accepted", "True"), condition("Delivering", "True")],
    want: [],
  },
  {
    name: "what is mended is told",
    before: [condition("Delivering", "False")],
    next: [condition("Delivering", "True", "Delivering")],
    want: ["Normal Delivering Delivering True"],
  },
  {
    name: "Programmed comes and goes with each edit: no news",
    before: [condition("Programmed", "True")],
    next: [condition("Programmed", "False")],
    want: [],
  },
  {
    name: "Stalled is told where no other condition says it",
    before: [condition("Stalled", "False")],
    next: [condition("Stalled", "True", "HeldBack")],
    want: ["Warning HeldBack Stalled True"],
  },
  {
    name: "a refusal is told once, not by Stalled again",
    before: [condition("Accepted", "True"), condition("Stalled", "False")],
    next: [
      condition("Accepted", "False", "Conflicted"),
      condition("Stalled", "True", "Conflicted"),
    ],
    want: ["Warning Conflicted Accepted False"],
  },
  {
    name: "another message with the same status is no news",
    before: [condition("Accepted", "False", "Conflicted")],
    next: [condition("Accepted", "False", "NotPermitted")],
    want: [],
  },
];

for (const { name, before, next, want } of cases) {
  test(`conditions: ${name}`, () => {
    const notes = notesOf(before, next);
    assert.deepEqual(
      notes.map(({ type, reason, message }) => `${type} ${reason} ${message}`),
      want,
    );
  });
}

test("conditions: a status that stands keeps its time, also with other words", () => {
  const before = [{ ...condition("Accepted", "True"), lastTransitionTime: "2025-01-01T00:00:00Z" }];
  const draft = { type: "Accepted", status: "True", reason: "Other", message: "" } as const;
  const [next] = conditionsOf([draft], before, { generation: 2, now });
  assert.equal(next?.lastTransitionTime, "2025-01-01T00:00:00Z");
  assert.equal(next?.observedGeneration, 2);
});
