/** Two of the cycles of `npm run test:cycles`: relays go and come under the ledger, and nothing is missing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Cycles, shownCycle, shownTotal } from "./cycles.ts";
import { site, skip, timeout } from "./pods-site.ts";

test("cycles: three relays, one, and three again, under mail, with nothing missing", {
  skip,
  timeout: 2 * timeout,
}, async () => {
  const { pods, first } = site();
  const cycles = new Cycles(pods, first);
  await cycles.begin();
  const left = await cycles.turn("left");
  console.log(shownCycle(1, left));
  assert.ok(left.handedOver > 0, "what waited went to the relay that stayed");
  const cut = await cycles.turn("cut");
  console.log(shownCycle(2, cut));
  assert.ok(cut.drained > 0, "what was left on the volumes was taken from there");
  const total = await cycles.end();
  console.log(shownTotal(total));
  assert.deepEqual(total.missingNumbers, [], "answered 250, and nowhere");
  assert.deepEqual(total.wrongArrivals, [], "at a host that no rule named");
  assert.deepEqual(total.unexplained, [], "twice, without a reason");
  assert.ok(total.answered > 500, String(total.answered));
  await first.scaleRelays(2);
});
