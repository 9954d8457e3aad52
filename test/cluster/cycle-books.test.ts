import assert from "node:assert/strict";
import { test } from "node:test";
import { repeatsIn } from "./cycle-books.ts";

const arrival = (number: number, atMs: number, answered = true) => ({
  number,
  host: "flaky",
  atMs,
  answered,
});

test("cycle books: what arrives twice is explained by an answer that was not given, or by a kill", () => {
  const arrivals = [
    arrival(1, 10),
    arrival(2, 10, false),
    arrival(2, 20),
    arrival(3, 100),
    arrival(3, 300),
    arrival(4, 10),
    arrival(4, 20),
    arrival(5, 10, false),
    arrival(5, 20),
    arrival(5, 30),
    arrival(6, 20, false),
    arrival(6, 110),
    arrival(6, 400),
  ];
  assert.deepEqual(repeatsIn(arrivals, [{ fromMs: 90, toMs: 120 }]), {
    twice: 5,
    unanswered: 1,
    killed: 2,
    unexplained: [4, 5],
  });
  assert.deepEqual(repeatsIn([], []), { twice: 0, unanswered: 0, killed: 0, unexplained: [] });
});
