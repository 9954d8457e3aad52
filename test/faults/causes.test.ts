import assert from "node:assert/strict";
import { test } from "node:test";
import { causesOf, type Events } from "./causes.ts";

const first = { number: 1, host: "flapping", atMs: 1000 };
const again = { number: 1, host: "flapping", atMs: 20_000 };
const none = { dropped: new Set<typeof first>(), ends: [], downs: [], faults: [] };

for (const { cause, events } of [
  { cause: "unexplained", events: {} },
  { cause: "answer lost", events: { dropped: new Set([first]) } },
  { cause: "hop gone", events: { downs: [1500] } },
  { cause: "unexplained", events: { downs: [500, 9000] } },
  { cause: "ended", events: { ends: [1001] } },
  { cause: "unexplained", events: { ends: [9000] } },
  { cause: "unwritten", events: { ends: [9000], faults: [{ fromMs: 900, toMs: 8000 }] } },
  { cause: "unexplained", events: { ends: [21_000], faults: [{ fromMs: 900, toMs: 8000 }] } },
] as const satisfies readonly { cause: string; events: Partial<Events> }[]) {
  test(`causes: ${JSON.stringify(Object.keys(events))} makes a second arrival ${cause}`, () => {
    const counts = causesOf({ ...none, ...events, arrivals: [first, again] });
    assert.equal(counts[cause], 1);
    assert.equal(
      Object.values(counts).reduce((sum, count) => sum + count, 0),
      1,
    );
  });
}
