import assert from "node:assert/strict";
import { test } from "node:test";
import { type Allowance, eased, pressed, unlimited } from "./allowance.ts";

const complaint = (connections: number, nowMs = 0, code = 421) => ({ connections, nowMs, code });

const shown = ({ connectionsMax, spacingMs }: Allowance): string =>
  `${connectionsMax} ${Math.round(spacingMs)}`;

test("allowance: each complaint halves the connections, and with one left doubles the time between messages", () => {
  let allowance = unlimited;
  const steps: string[] = [];
  for (let at = 0; at < 11; at++) {
    allowance = pressed(allowance, complaint(20, at));
    steps.push(shown(allowance));
  }
  const spaced = ["1 200", "1 400", "1 800", "1 1600", "1 3200", "1 5000", "1 5000"];
  assert.deepEqual(steps, ["10 0", "5 0", "2 0", "1 0", ...spaced]);
});

test("allowance: it counts from the connections that there are, where they are fewer than allowed", () => {
  assert.equal(shown(pressed(unlimited, complaint(6))), "3 0");
  assert.equal(shown(pressed(pressed(unlimited, complaint(20)), complaint(4))), "2 0");
  assert.equal(shown(pressed(unlimited, complaint(0))), "1 200");
});

test("allowance: without complaints it comes back step by step, not before its time, and to all there was", () => {
  let allowance = [5, 5, 5, 5].map((count) => complaint(count)).reduce(pressed, unlimited);
  assert.equal(shown(allowance), "1 400");
  assert.equal(eased(allowance, 9_999), allowance);
  const steps: string[] = [];
  for (let nowMs = 10_000; allowance !== unlimited; nowMs += 10_000) {
    allowance = eased(allowance, nowMs);
    steps.push(shown(allowance));
  }
  const back = ["1 286", "1 222", "1 0", "2 0", "3 0", "4 0", "5 0", "Infinity 0"];
  assert.deepEqual(steps, back);
  assert.equal(eased(unlimited, 1e9), unlimited);
});

test("allowance: a new complaint begins its time anew", () => {
  const first = pressed(unlimited, complaint(8));
  const again = pressed(eased(first, 10_000), complaint(8, 12_000));
  assert.equal(shown(again), "2 0");
  assert.equal(eased(again, 21_999), again);
  assert.equal(shown(eased(again, 22_000)), "3 0");
});

test("allowance: who only puts mail off by policy keeps one connection at its full speed", () => {
  let allowance = unlimited;
  for (let at = 0; at < 9; at++) allowance = pressed(allowance, complaint(20, at, 451));
  assert.equal(shown(allowance), "1 0");
});
