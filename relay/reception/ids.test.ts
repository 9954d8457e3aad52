import assert from "node:assert/strict";
import { test } from "node:test";
import { createIds } from "./ids.ts";

test("ids: are unique and in order, also within a millisecond and when the clock goes back", () => {
  const times = [5, 5, 5, 3, 4, 6, 6, 2];
  const next = createIds({ now: () => times.shift() ?? 7, random: () => 0.5 });
  const ids = Array.from({ length: 2000 }, next);
  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual(ids.toSorted(), ids);
  assert.ok(ids.every((id) => /^[0-9a-z]{17}$/.test(id)));
});
