/** That the books of a run can show what is wrong. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Entry } from "../ledger/reckoning.ts";
import { laggards, type Move, median, returned, strays, takenMs } from "./books.ts";
import type { Sighted } from "./sightings.ts";

const domain = "moving.test";
const move = (to: string, appliedMs: number, table: number): Move => ({
  ...{ domain, to, appliedMs, table, storedMs: appliedMs + 50, programmedMs: appliedMs + 500 },
});
const moves = [move("two", 1000, 1), move("one", 5000, 2)];
const entry = (number: number, sentMs: number): Entry => ({
  ...{ number, sentMs, domain, answered: true },
});
const arrival = (number: number, host: string, atMs: number) => ({ number, host, atMs });
const answer = (digest: string, atMs: number): Sighted<"serves"> => ({
  ...{ seen: "serves", id: "mail/relay-0", stale: false, digest, atMs },
});

test("books: a move has taken until the first message sent after it arrives at the new host", () => {
  const [first] = moves;
  const entries = [entry(0, 990), entry(1, 1001), entry(2, 1200)];
  const arrivals = [arrival(0, "two", 1100), arrival(1, "one", 1150), arrival(2, "two", 1300)];
  assert.equal(first && takenMs(first, entries, arrivals), 300);
  assert.equal(first && takenMs(first, entries, []), undefined);
});

test("books: a stray was sent once the move was Programmed, and arrived elsewhere", () => {
  const entries = [entry(0, 1400), entry(1, 1600), entry(2, 1700), entry(3, 5100)];
  const arrivals = [
    arrival(0, "one", 1450), // sent before Programmed
    arrival(1, "two", 1650),
    arrival(2, "one", 1750),
    arrival(3, "two", 5150), // while the next move is under way
  ];
  assert.deepEqual(strays(moves, entries, arrivals), [arrival(2, "one", 1750)]);
});

test("books: a laggard serves a table older than the one that is Programmed", () => {
  const tables = [
    { digest: "a", atMs: 0 },
    { digest: "b", atMs: 1100 },
    { digest: "c", atMs: 5100 },
    { digest: "a", atMs: 9000 }, // again, as after a restore
  ];
  const old = answer("a", 1600);
  const answers = [
    answer("a", 1400),
    old,
    answer("b", 1600),
    answer("c", 4900), // newer already
    answer("c", 5600),
    answer("a", 8000),
  ];
  assert.deepEqual(laggards(moves, tables, answers), [old]);
  assert.equal(laggards(moves, tables, [answer("of nowhere", 1600)]).length, 1);
});

test("books: a table has returned where another was published in between", () => {
  const tables = (...digests: string[]) => digests.map((digest) => ({ digest }));
  assert.deepEqual(returned(tables("a", "a", "b", "b", "c")), []);
  assert.deepEqual(returned(tables("a", "b", "a", "c", "b")), ["a", "b"]);
});

test("books: the median is the value in the middle", () => {
  assert.equal(median([30, 10, 20]), 20);
  assert.ok(Number.isNaN(median([])));
});
