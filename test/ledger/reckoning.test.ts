import assert from "node:assert/strict";
import { test } from "node:test";
import { reckon } from "./reckoning.ts";

const rules = [
  { domain: "a.test", host: "one", fromMs: 0 },
  { domain: "a.test", host: "two", fromMs: 1000 },
  { domain: "b.test", host: "one", fromMs: 0 },
];
const entry = (number: number, domain: string, sentMs: number, answered = true) => ({
  number,
  domain,
  sentMs,
  answered,
});

test("reckoning: finds what is missing, twice there, and at a wrong host", () => {
  const books = {
    rules,
    slackMs: 100,
    entries: [
      entry(1, "a.test", 500),
      entry(2, "b.test", 500),
      entry(3, "b.test", 500),
      entry(4, "b.test", 1, false),
    ],
    arrivals: [
      { number: 1, host: "two", atMs: 1100 },
      { number: 2, host: "two", atMs: 600 },
      { number: 2, host: "one", atMs: 600 },
    ],
  };
  const { missing, wrongHost, duplicates, sent, answered } = reckon(books);
  assert.deepEqual(
    { missing, wrongHost, duplicates, sent, answered },
    { missing: 1, wrongHost: 1, duplicates: 1, sent: 4, answered: 3 },
  );
});

test("reckoning: an old rule may be followed for the slack and no longer", () => {
  const at = (sentMs: number) =>
    reckon({
      rules,
      slackMs: 100,
      entries: [entry(1, "a.test", sentMs)],
      arrivals: [{ number: 1, host: "one", atMs: sentMs + 10 }],
    });
  assert.equal(at(1050).wrongHost, 0);
  assert.equal(at(1200).wrongHost, 1);
});

test("reckoning: a number that nobody sent is at a wrong host wherever it is", () => {
  assert.equal(
    reckon({ rules, slackMs: 0, entries: [], arrivals: [{ number: 9, host: "one", atMs: 5 }] })
      .wrongHost,
    1,
  );
});
