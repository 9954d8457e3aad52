import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Fifo } from "./fifo.ts";

test("fifo: any pushes and shifts give what an array gives", () => {
  // Bursts of thousands, so that what has gone is cut off again and again.
  const burst = fc.record({ push: fc.integer({ min: 0, max: 5000 }), shift: fc.nat(5000) });
  fc.assert(
    fc.property(fc.array(burst, { maxLength: 10 }), (bursts) => {
      const fifo = new Fifo<number>();
      const model: number[] = [];
      let next = 0;
      for (const { push, shift } of bursts) {
        for (let count = 0; count < push; count++) {
          fifo.push(next);
          model.push(next);
          next += 1;
        }
        for (let count = 0; count < shift; count++) assert.equal(fifo.shift(), model.shift());
        assert.equal(fifo.size, model.length);
      }
    }),
    { numRuns: 50 },
  );
});
