import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FairLine } from "./fair-line.ts";

test("fair line: one of each party in turn, each party's own in order", () => {
  const line = new FairLine<string>();
  for (let count = 0; count < 1000; count++) line.push("bulk", `bulk${count}`);
  line.push("a", "a0");
  line.push("b", "b0");
  line.push("a", "a1");
  const served = Array.from({ length: 7 }, () => line.shift());
  assert.deepEqual(served, ["bulk0", "a0", "b0", "bulk1", "a1", "bulk2", "bulk3"]);
  assert.equal(line.size, 996);
});

test("fair line: everything pushed comes out once, and a party of its own waits for each other once", () => {
  const parties = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 60 });
  fc.assert(
    fc.property(parties, (pushed) => {
      const line = new FairLine<string>();
      pushed.forEach((party, index) => {
        line.push(party, `${party}${index}`);
      });
      const out: string[] = [];
      for (let item = line.shift(); item !== undefined; item = line.shift()) out.push(item);
      assert.deepEqual(out.toSorted(), pushed.map((party, index) => `${party}${index}`).toSorted());
      assert.equal(line.size, 0);
      // The n-th of a party comes when no other party has had more than n + 1.
      const count = new Map<string, number>();
      for (const item of out) {
        const party = item[0] ?? "";
        count.set(party, (count.get(party) ?? 0) + 1);
        const left = (each: string): number =>
          pushed.filter((other) => other === each).length - (count.get(each) ?? 0);
        for (const other of new Set(pushed)) {
          if (left(other) > 0)
            assert.ok((count.get(party) ?? 0) - (count.get(other) ?? 0) <= 1, `${party} ${other}`);
        }
      }
    }),
  );
});
