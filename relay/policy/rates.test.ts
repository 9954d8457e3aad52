import assert from "node:assert/strict";
import { test } from "node:test";
import { Rates } from "./rates.ts";

const minute = 60_000;
const rates = (keysMax = 1000) => new Rates({ windowMs: minute, keysMax });

test("rates: exactly so many at once, and one more when a part of the window has passed", () => {
  for (const max of [1, 3, 7, 1000]) {
    const some = rates();
    for (let count = 0; count < max; count += 1) assert.equal(some.take("a", max, 0), 0);
    assert.equal(some.take("a", max, 0), Math.ceil(minute / max));
    assert.equal(some.take("a", max, minute / max), 0);
    assert.notEqual(some.take("a", max, minute / max), 0);
  }
});

test("rates: less than one in a window is one in several", () => {
  const some = rates();
  assert.equal(some.take("a", 0.25, 0), 0);
  assert.equal(some.take("a", 0.25, 0), 4 * minute);
  assert.equal(some.take("a", 0.25, 3 * minute), minute);
  assert.equal(some.take("a", 0.25, 4 * minute), 0);
  assert.notEqual(some.take("a", 0.25, 5 * minute), 0);
});

test("rates: who keeps to the rate is never refused, and a refusal costs nothing", () => {
  const some = rates();
  for (let count = 0; count < 600; count += 1) assert.equal(some.take("a", 10, count * 6000), 0);
  const last = 600 * 6000;
  for (let count = 0; count < 10; count += 1) some.take("a", 10, last);
  const waitMs = some.take("a", 10, last);
  assert.equal(some.take("a", 10, last), waitMs);
  assert.equal(some.take("a", 10, last + waitMs), 0);
});

test("rates: however many have become quiet, a few of them are forgotten at a time", () => {
  const some = rates(1000);
  for (let number = 0; number < 1000; number += 1) some.take(`key ${number}`, 600, 0);
  assert.equal(some.size, 1000);
  let before = some.size;
  for (let number = 0; number < 500; number += 1) {
    some.take("late", 600, 10 * minute);
    assert.ok(before - some.size <= 4, `${before - some.size} at once`);
    before = some.size;
  }
  assert.equal(some.size, 1);
});

test("rates: a flood of new keys makes nobody's account forgotten while quiet ones can go", () => {
  const some = rates(100);
  assert.equal(some.take("busy", 1, 0), 0);
  for (let number = 0; number < 10_000; number += 1) {
    assert.equal(some.take(`flood ${number}`, 600, number * 5), 0); // quiet after 100 ms
    assert.notEqual(some.take("busy", 1, number * 5), 0);
  }
  assert.ok(some.size < 100, `${some.size}`);
});

test("rates: keys are counted apart, and at the bound one with little on its account is forgotten", () => {
  const some = rates(2);
  assert.equal(some.take("a", 1, 0), 0);
  assert.equal(some.take("b", 1, 10), 0);
  assert.equal(some.take("c", 1, 20), 0); // "a", which is free again sooner, made room
  assert.notEqual(some.take("b", 1, 20), 0);
  assert.equal(some.take("a", 1, 20), 0);
});
