import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Host } from "../../routing/route.ts";
import { orderHosts } from "./order.ts";

const host = (name: string, priority: number, weight: number): Host => ({
  host: name,
  port: 25,
  priority,
  weight,
});
const awake = () => false;
const hosts = fc.array(
  fc.record({
    host: fc.constantFrom("a", "b", "c", "d"),
    port: fc.nat(9),
    priority: fc.nat(3),
    weight: fc.nat(3),
  }),
);

test("order: every host once, lowest priority first, rested ones behind all others", () => {
  fc.assert(
    fc.property(
      hosts,
      fc.func(fc.boolean()),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (list, rests, lot) => {
        const isRested = (one: Host): boolean => rests(one.host);
        const ordered = orderHosts(list, { isRested, random: () => lot });
        const text = (all: readonly Host[]) => all.map((one) => JSON.stringify(one)).sort();
        assert.deepEqual(text(ordered), text(list));
        const ranks = ordered.map((one) => (isRested(one) ? 1000 : 0) + one.priority);
        assert.deepEqual(
          ranks,
          ranks.toSorted((a, b) => a - b),
        );
      },
    ),
  );
});

test("order: among equals the lot falls by weight, and weight 0 comes last", () => {
  const list = [host("zero", 1, 0), host("one", 1, 1), host("three", 1, 3)];
  const first = new Map<string, number>();
  for (let at = 0; at < 4000; at++) {
    const [chosen] = orderHosts(list, { isRested: awake, random: () => (at + 0.5) / 4000 });
    first.set(chosen?.host ?? "", (first.get(chosen?.host ?? "") ?? 0) + 1);
  }
  assert.deepEqual(
    [first.get("zero"), first.get("one"), first.get("three")],
    [undefined, 1000, 3000],
  );
});

test("order: hosts without any weight are drawn evenly", () => {
  const list = [host("a", 1, 0), host("b", 1, 0)];
  const lots = [0.2, 0.8].map(
    (lot) => orderHosts(list, { isRested: awake, random: () => lot })[0]?.host,
  );
  assert.deepEqual(new Set(lots), new Set(["a", "b"]));
});
