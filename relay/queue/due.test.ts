import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { manualClock } from "./clock.testkit.ts";
import { DueTimes } from "./due.ts";

test("due times: ids come out in order of time, each once", () => {
  const clock = manualClock();
  const out: string[] = [];
  const due = new DueTimes(clock, (id) => out.push(id));
  for (const [id, at] of Object.entries({ c: 300, a: 100, b: 200 })) due.set(id, at);
  clock.advance(1000);
  assert.deepEqual(out, ["a", "b", "c"]);
  assert.equal(due.size, 0);
});

test("due times: setting an id again moves it, and a deleted one never comes", () => {
  const clock = manualClock();
  const out: string[] = [];
  const due = new DueTimes(clock, (id) => out.push(`${id}@${clock.now()}`));
  due.set("a", 100);
  due.set("a", 500);
  due.set("b", 200);
  due.delete("b");
  clock.advance(400);
  assert.deepEqual(out, []);
  clock.advance(400);
  assert.deepEqual(out, ["a@500"]);
});

test("due times: any sets and deletes give the same as sorting what is left", () => {
  const step = fc.record({
    id: fc.integer({ min: 0, max: 30 }),
    at: fc.integer({ min: 1, max: 5000 }),
    remove: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const clock = manualClock();
      const out: [string, number][] = [];
      const due = new DueTimes(clock, (id) => out.push([id, clock.now()]));
      const model = new Map<string, number>();
      for (const { id, at, remove } of steps) {
        if (remove) {
          due.delete(String(id));
          model.delete(String(id));
        } else {
          due.set(String(id), at);
          model.set(String(id), at);
        }
      }
      clock.advance(120_000);
      const byTime = (list: [string, number][]) =>
        list.sort((a, b) => a[1] - b[1] || a[0].localeCompare(b[0]));
      assert.deepEqual(byTime(out), byTime([...model]));
    }),
  );
});

test("due times: of thousands that are due together twenty are called, and the rest after whoever else waits", () => {
  const clock = manualClock();
  const called: string[] = [];
  const due = new DueTimes(clock, (id) => called.push(id));
  for (let count = 0; count < 1000; count++) due.set(String(count), 5);
  clock.wait(5, () => called.push("other"));
  clock.advance(5);
  assert.equal(called.indexOf("other"), 20);
  assert.equal(called.length, 1001);
});

test("due: of what is moved a thousand times nothing stays of where it was", () => {
  const clock = manualClock();
  const called: string[] = [];
  let waits = 0;
  const wait: typeof clock.wait = (ms, callback) => {
    waits += 1;
    return clock.wait(ms, callback);
  };
  const due = new DueTimes({ now: clock.now, wait }, (id) => called.push(`${id}@${clock.now()}`));
  for (let atMs = 1; atMs <= 1000; atMs += 1) due.set("a", atMs);
  due.set("b", 500);
  due.delete("b");
  clock.advance(2000);
  assert.deepEqual(called, ["a@1000"]);
  assert.equal(waits, 2);
});

test("due: a clock that is set back by an hour makes nobody wait for an hour", () => {
  const clock = manualClock();
  const called: string[] = [];
  const due = new DueTimes(clock, (id) => called.push(id));
  clock.advance(10_000_000);
  due.set("b", clock.now() + 6000);
  due.set("a", clock.now() + 5000);
  clock.setBack(3_600_000);
  due.set("c", clock.now() + 20_000);
  clock.advance(12_000);
  assert.deepEqual(called, ["a", "b"]);
  clock.advance(8000);
  assert.deepEqual(called, ["a", "b", "c"]);
});
