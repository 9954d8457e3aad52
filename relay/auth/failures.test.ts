import assert from "node:assert/strict";
import { test } from "node:test";
import { Failures } from "./failures.ts";

test("failures: each is answered twice as slowly as the one before, twenty seconds at most", () => {
  const failures = new Failures();
  const delays = Array.from({ length: 9 }, () => failures.add("192.0.2.1", 0));
  assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 20_000]);
});

test("failures: networks are counted apart, and half is forgotten in a minute", () => {
  const failures = new Failures();
  for (let count = 0; count < 8; count += 1) failures.add("192.0.2.1", 0);
  assert.equal(failures.count("192.0.2.2", 0), 0);
  assert.equal(failures.count("192.0.2.1", 60_000), 4);
  assert.equal(failures.count("192.0.2.1", 600_000), 0);
});

test("failures: ten thousand networks are remembered, and the oldest goes first", () => {
  const failures = new Failures();
  for (let network = 0; network <= 10_000; network += 1) failures.add(`n${network}`, 0);
  assert.deepEqual([failures.count("n0", 0), failures.count("n1", 0)], [0, 1]);
});
