import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteId } from "../../routing/route.ts";
import { manualClock } from "./clock.testkit.ts";
import { Pace } from "./pace.ts";

const route = "mail/slow" as RouteId;

/** Messages that go as soon as they may; `cannot` are woken in vain. */
function bench(cannot: (id: string) => boolean = () => false) {
  const clock = manualClock();
  const went: string[] = [];
  const woken: string[] = [];
  let perSecond = 10;
  const ask = (id: string): void => {
    if (pace.mayGo({ route, perSecond, id })) went.push(`${id}@${clock.now()}`);
  };
  const pace = new Pace(clock, (id) => {
    woken.push(id);
    if (!cannot(id)) ask(id);
  });
  return { clock, pace, ask, went, woken, setRate: (rate: number) => (perSecond = rate) };
}

test("pace: the first goes at once, the others in their order at the rate", () => {
  const { clock, ask, went } = bench();
  for (const id of ["a", "b", "c", "d"]) ask(id);
  clock.advance(1000);
  assert.deepEqual(went, ["a@0", "b@100", "c@200", "d@300"]);
});

test("pace: whoever comes later goes behind those who wait, and asking again changes no place", () => {
  const { clock, ask, went } = bench();
  for (const id of ["a", "b", "c"]) ask(id);
  clock.advance(150);
  for (const id of ["d", "c", "d"]) ask(id);
  clock.advance(1000);
  assert.deepEqual(went, ["a@0", "b@100", "c@200", "d@300"]);
});

test("pace: who is woken and cannot go costs no token and holds nobody up", () => {
  const { clock, ask, went, woken } = bench((id) => id.startsWith("gone"));
  ask("a");
  for (let count = 0; count < 15; count++) ask(`gone${count}`);
  ask("b");
  clock.advance(1000);
  assert.deepEqual(went, ["a@0", "b@100"]);
  assert.equal(woken.length, 16);
});

test("pace: a thousand that cannot go are not all woken at once, and all in the end", () => {
  const { clock, ask, went, woken } = bench((id) => id.startsWith("gone"));
  ask("a");
  for (let count = 0; count < 1000; count++) ask(`gone${count}`);
  ask("b");
  clock.advance(100);
  assert.ok(woken.length <= 20, `${woken.length}`);
  clock.advance(5000);
  assert.equal(woken.length, 1001);
  assert.equal(went.length, 2);
});

test("pace: a new rate counts from the next message that asks", () => {
  const { clock, ask, went, setRate } = bench();
  setRate(0.01);
  for (const id of ["a", "b", "c"]) ask(id);
  clock.advance(1000);
  setRate(10);
  ask("d");
  clock.advance(1000);
  assert.deepEqual(
    went.map((each) => each.split("@")[0]),
    ["a", "b", "c", "d"],
  );
});

test("pace: a route that has nothing to wait for is forgotten", () => {
  const { clock, pace, ask } = bench();
  for (const id of ["a", "b"]) ask(id);
  assert.equal(pace.size, 1);
  clock.advance(1000);
  assert.equal(pace.size, 0);
});

test("pace: after stop nobody is woken", () => {
  const { clock, pace, ask, woken } = bench();
  for (const id of ["a", "b"]) ask(id);
  pace.stop();
  clock.advance(1000);
  assert.deepEqual(woken, []);
});
