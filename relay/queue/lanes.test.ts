import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Outcome } from "../outcome.ts";
import { manualClock } from "./clock.testkit.ts";
import type { Dead, Met } from "./lane.ts";
import { type LaneLimits, Lanes } from "./lanes.ts";

const outcome: Outcome = {
  kind: "deferred",
  cause: "connect",
  reply: { code: 451, status: "4.4.1", text: "nobody there" },
  isUnmet: true,
};
const dead: Dead = { outcome, rest: { msMin: 1000, msMax: 8000 } };
/** Longer than anybody is given to show that he lives. */
const quietMs = 6000;

async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await turn();
}

/** Lanes whose work runs until it is let go, or gives up, as it may. */
function gates(limits: Partial<LaneLimits> = {}) {
  const clock = manualClock();
  const started: string[] = [];
  const spared: string[] = [];
  const told: Outcome[] = [];
  const open: ((met: Met) => void)[] = [];
  const lanes = new Lanes<string>({
    limits: { activeMax: 20, activePerLaneMax: 10, silentMax: 2, ...limits },
    clock,
    async run(name, patience) {
      started.push(name);
      return await new Promise<Met>((resolve) => {
        open.push(resolve);
        patience?.addEventListener("abort", () => resolve(dead));
      });
    },
    async spare(name, why) {
      told.push(why);
      spared.push(name);
    },
  });
  const add = (name: string, count = 1, party = "me"): void => {
    for (let left = count; left > 0; left -= 1) lanes.add(name, party, name);
  };
  /** The one that has run longest ends. */
  const end = async (met: Met): Promise<void> => {
    open.shift()?.(met);
    // What is told to others takes turns, too.
    await turns(20);
  };
  const of = (prefix: string): number => started.filter((name) => name.startsWith(prefix)).length;
  return { lanes, clock, started, spared, told, open, add, end, of };
}

test("lanes: a lane full of waiting work holds up no other lane", () => {
  const { started, add } = gates();
  add("dead", 1000);
  add("alive");
  assert.deepEqual(started, ["dead", "alive"]);
});

test("lanes: a clock that is set back makes no rest longer", async () => {
  const { add, started, end, clock } = gates();
  clock.advance(10_000_000);
  add("dead");
  await end(dead);
  add("dead");
  clock.setBack(3_600_000);
  clock.advance(3000);
  assert.deepEqual(started, ["dead", "dead"]);
});

test("lanes: in a lane senders take turns: a thousand messages of one hold another's up for one", async () => {
  const { lanes, started, end } = gates({ activePerLaneMax: 1 });
  for (let count = 0; count < 1000; count++) lanes.add("host", "bulk", "bulk");
  lanes.add("host", "small", "small");
  await end("alive");
  await end("alive");
  assert.deepEqual(started, ["bulk", "bulk", "small"]);
});

test("lanes: a lane whose work meets a living host earns its full share, one that does not loses it", async () => {
  const { lanes, add, end } = gates({ activeMax: 100, activePerLaneMax: 4 });
  add("a", 40);
  assert.equal(lanes.active, 1);
  for (let count = 0; count < 5; count++) await end("alive");
  assert.equal(lanes.active, 4);
  for (let count = 0; count < 5; count++) await end("hung");
  assert.equal(lanes.active, 1);
});

test("lanes: any number of silent destinations leave half of the room to those that live", async () => {
  const { add, end, of } = gates();
  add("good");
  await end("alive");
  for (let lane = 0; lane < 500; lane++) add(`silent${lane}`);
  assert.equal(of("silent"), 10, "half");
  add("good");
  assert.equal(of("good"), 2, "a destination that lives is remembered");
});

test("lanes: everything added runs once or is spared, never more at a time than allowed", async () => {
  let ran = 0;
  let spared = 0;
  let now = 0;
  let most = 0;
  const lanes = new Lanes<number>({
    limits: { activeMax: 7, activePerLaneMax: 3, silentMax: 2 },
    clock: { now: () => Date.now(), wait: manualClock().wait },
    async run(count) {
      now += 1;
      most = Math.max(most, now);
      await turn();
      now -= 1;
      ran += 1;
      const met = ["alive", "hung", "nothing", { outcome, rest: { msMin: 0, msMax: 0 } }] as const;
      return met[count % 4] ?? "alive";
    },
    async spare() {
      spared += 1;
    },
  });
  for (let count = 0; count < 5000; count++) lanes.add(`lane${count % 11}`, "me", count);
  while (ran + spared < 5000) await turn();
  assert.equal(ran + spared, 5000);
  assert.ok(most <= 9 && most > 3, `${most}`);
});

test("lanes: after stop nothing starts and what runs ends", async () => {
  const { lanes, started, add, end } = gates({ activeMax: 1 });
  add("first");
  add("second");
  lanes.stop();
  await end("alive");
  assert.deepEqual(started, ["first"]);
  assert.equal(lanes.active, 0);
});

test("lanes: a destination that nobody has tried waits for silent ones no longer than a moment", async () => {
  const { add, clock, of, lanes } = gates();
  for (let lane = 0; lane < 500; lane++) add(`silent${lane}`);
  add("good");
  assert.equal(of("silent"), 10);
  // Two keep their time, among the silent; the others give way to those who wait.
  for (let round = 1; of("good") === 0; round += 1) {
    assert.ok(round <= 50, "each round tries as many as there is room for");
    clock.advance(quietMs);
    await turn();
    assert.ok(lanes.active <= 12, `${lanes.active}`);
  }
  assert.equal(of("silent"), 500);
});

test("lanes: who is silent keeps his time while nobody waits for his room", async () => {
  const { add, clock, lanes } = gates();
  for (let lane = 0; lane < 10; lane++) add(`silent${lane}`);
  clock.advance(10 * quietMs);
  await turn();
  assert.equal(lanes.active, 10);
});

test("lanes: who was silent comes after those never tried, with room of his own, and is not hurried again", async () => {
  const { add, clock, of, lanes, end } = gates({ activeMax: 4 });
  for (let lane = 0; lane < 6; lane++) add(`silent${lane}`);
  assert.equal(of("silent"), 2);
  clock.advance(quietMs); // two move to the silent ones, two others begin
  clock.advance(quietMs); // those two give way to the last two
  await turn();
  assert.equal(of("silent"), 6);
  assert.equal(lanes.active, 4);
  add("silent2");
  clock.advance(20_000);
  await turn();
  assert.equal(of("silent2"), 1, "all room for silent ones is taken");
  await end(dead);
  assert.equal(of("silent2"), 2);
  for (let lane = 0; lane < 3; lane++) add(`new${lane}`);
  await turn();
  clock.advance(10 * quietMs);
  await turn();
  assert.equal(of("new"), 3, "nobody new waits for it");
  assert.ok(lanes.active <= 6);
});

test("lanes: a dead destination's mail is spared the attempt, and what comes then waits for its rest", async () => {
  const { add, clock, started, spared, end } = gates();
  add("dead", 50);
  await end(dead);
  await turns(100);
  assert.equal(started.length, 1);
  assert.equal(spared.length, 49);
  add("dead", 3);
  assert.equal(started.length, 1);
  clock.advance(1000);
  assert.equal(started.length, 2);
  await end(dead);
  assert.equal(spared.length, 51);
  add("dead");
  clock.advance(1999);
  assert.equal(started.length, 2, "twice as long");
  clock.advance(1);
  assert.equal(started.length, 3);
  await end("alive");
  add("dead");
  assert.equal(started.length, 4, "it lives");
});

test("lanes: a dead destination is tried again after its rest, however long it takes to tell its mail", async () => {
  const { add, clock, started, spared, end } = gates();
  add("dead", 500);
  await end(dead);
  await turns(20);
  const told = spared.length;
  assert.ok(told > 0 && told < 400, `${told}`);
  clock.advance(1000);
  assert.equal(started.length, 2);
  await end("alive");
  await turns(20);
  assert.ok(spared.length <= told + 20, "it lives: the others are tried");
  assert.equal(started.length, 4);
});

test("lanes: who is told of a dead destination hears what was found last, and nothing once a host has answered", async () => {
  const { add, clock, told, started, end } = gates();
  const later: Dead = { ...dead, outcome: { ...outcome } };
  add("dead", 500);
  await end(dead);
  await turns(20);
  clock.advance(1000);
  await end(later);
  const firstTold = told.length;
  await turns(100);
  assert.ok(told.length > firstTold);
  assert.equal(told.at(-1), later.outcome);
  assert.equal(told.indexOf(later.outcome), told.lastIndexOf(outcome) + 1);
  clock.advance(2000);
  await end("hung");
  const toldThen = told.length;
  await turns(100);
  assert.equal(told.length, toldThen);
  assert.equal(started.length, 4, "the others are tried");
});

test("lanes: of a destination that lived, one failure alone spares nothing", async () => {
  const { add, started, spared, end } = gates();
  add("busy", 10);
  await end("alive");
  await end(dead);
  assert.deepEqual([spared.length, started.length], [0, 3]);
  await end(dead);
  assert.equal(spared.length, 7, "the next one in a row is enough");
});

test("lanes: a host that breaks off holds nobody else's mail to be dead", async () => {
  const { add, spared, started, end } = gates();
  add("a", 3);
  await end("hung");
  await end("hung");
  await end("hung");
  assert.deepEqual([spared.length, started.length], [0, 3]);
});

test("lanes: a person's word ends a rest, and puts a silent destination among those never tried", async () => {
  const { lanes, add, started, end, of } = gates({ silentMax: 1 });
  add("dead");
  await end(dead);
  add("dead");
  assert.equal(started.length, 1);
  lanes.rouse("dead");
  assert.equal(started.length, 2);
  await end(dead);
  add("silent");
  await end("hung");
  add("silent"); // has the room for silent ones
  add("other");
  await end("hung");
  await end("hung");
  add("silent");
  add("other");
  lanes.rouse("other");
  assert.ok(of("other") >= 2);
});

test("lanes: a person's word also counts for those who are about to be spared", async () => {
  const { lanes, add, started, spared, open } = gates();
  add("dead", 100);
  open.shift()?.(dead);
  await turn();
  lanes.rouse("dead");
  await turns(60);
  assert.ok(spared.length < 99, `${spared.length}`);
  assert.equal(started.length, 2);
});

test("lanes: of thousands that are spared ten at a time are under way, of all lanes together", async () => {
  let underWay = 0;
  let most = 0;
  let spared = 0;
  const lanes = new Lanes<number>({
    limits: { activeMax: 10, activePerLaneMax: 1, silentMax: 1 },
    clock: manualClock(),
    run: async () => dead,
    async spare() {
      underWay += 1;
      most = Math.max(most, underWay);
      await turn();
      underWay -= 1;
      spared += 1;
    },
  });
  for (let count = 0; count < 1001 * 3; count++) lanes.add(`dead${count % 3}`, "me", count);
  while (spared < 3000) await turn();
  assert.equal(most, 10);
});

test("lanes: what waits for a destination that is forgotten while others are told of it runs all the same", async () => {
  const clock = manualClock();
  const started: string[] = [];
  const open: ((met: Met) => void)[] = [];
  const told: (() => void)[] = [];
  const lanes = new Lanes<string>({
    limits: { activeMax: 20, activePerLaneMax: 10, silentMax: 2 },
    clock,
    async run(name) {
      started.push(name);
      return await new Promise<Met>((resolve) => open.push(resolve));
    },
    spare: async () => await new Promise<void>((resolve) => told.push(resolve)),
  });
  const end = async (met: Met): Promise<void> => {
    open.shift()?.(met);
    await turns(20);
  };
  const tell = async (): Promise<void> => {
    for (const each of told.splice(0)) each();
    await turns(20);
  };
  for (let count = 0; count < 8; count++) lanes.add("host", "me", `a${count}`);
  for (const met of ["alive", "alive", "hung", dead] as const) await end(met);
  assert.deepEqual([lanes.active, told.length], [1, 3]);
  lanes.rouse("host");
  await end("nothing");
  lanes.add("host", "me", "b0");
  lanes.add("host", "me", "b1");
  await end(dead);
  lanes.add("host", "me", "b2");
  await tell();
  await tell();
  clock.advance(10_000);
  for (let left = 3; left > 0; left -= 1) await end("alive");
  assert.ok(started.includes("b2"), `${started}`);
});
