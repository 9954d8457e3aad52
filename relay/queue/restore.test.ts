import assert from "node:assert/strict";
import { test } from "node:test";
import type { Change } from "../spool/changes.ts";
import { type Envelope, freshState, type State } from "../spool/records.ts";
import type { Stored } from "../spool/spool.ts";
import { blamed, restore } from "./restore.ts";

const nowMs = 5000;

function stored(id: string, more: Partial<State> = {}): Stored {
  const envelope: Envelope = {
    id,
    session: "s",
    client: "192.0.2.1",
    trusted: true,
    sender: "",
    recipients: [{ address: "a@a.test", key: "suffix:a.test", expiresAtMs: 1, warnAtMs: 1 }],
    arrivedAtMs: 0,
    bytes: 1,
    crc: 1,
    eightBit: false,
    smtputf8: false,
  };
  return { envelope, state: { ...freshState(envelope), ...more } };
}

/** What the queue took over, what was written before, and what was told. */
async function run(list: readonly Stored[], more: { hold?: string; diedAt?: string[] } = {}) {
  const taken: Stored[] = [];
  const written: Change[] = [];
  const told: string[] = [];
  const count = await restore({
    spool: {
      *list() {
        yield* list;
      },
      async commit(changes) {
        for (const change of changes) {
          const isTaken = taken.some(({ envelope }) => "id" in change && envelope.id === change.id);
          assert.ok(!isTaken, "on disk before the queue has it");
          written.push(change);
        }
      },
      async setAside() {
        assert.equal(taken.length, list.length, "after all of it has been read");
        told.push("set aside");
      },
    },
    take: (each) => taken.push(each),
    hold: more.hold,
    diedAt: more.diedAt ?? [],
    now: () => nowMs,
    events: {
      corrupt: assert.fail,
      unsaved: assert.fail,
      held: (id, why) => told.push(`${id}: ${why}`),
    },
  });
  assert.equal(count, list.length);
  assert.equal(told.pop(), "set aside");
  return { taken, written, told };
}

test("restore: what nothing happened to is taken over as it is, and nothing is written", async () => {
  const list = [stored("A"), stored("B", { deaths: 2 })];
  const { taken, written, told } = await run(list);
  assert.deepEqual(taken, list);
  assert.deepEqual([written, told], [[], []]);
});

test("restore: a death counts for the messages at which it came; at the third they are held", async () => {
  const { taken, written, told } = await run(
    [stored("A"), stored("B", { deaths: 2 }), stored("C")],
    {
      diedAt: ["A", "B", "GONE"],
    },
  );
  assert.deepEqual(
    taken.map(({ state }) => [state.deaths ?? 0, state.held?.sinceMs]),
    [
      [1, undefined],
      [3, nowMs],
      [0, undefined],
    ],
  );
  assert.equal(written.length, 2);
  assert.deepEqual(told, ["B: the relay died 3 times while it delivered this message"]);
});

test("restore: a spool that was put back is held whole; what was held keeps its reason", async () => {
  const held = { sinceMs: 1, why: "by order" };
  const { taken, told } = await run([stored("A"), stored("B", { held })], { hold: "put back" });
  assert.deepEqual(
    taken.map(({ state }) => state.held),
    [{ sinceMs: nowMs, why: "put back" }, held],
  );
  assert.deepEqual(told, ["A: put back"]);
});

test("restore: a message whose state is lost is held, so that nobody gets it twice and nobody goes without", async () => {
  const { taken, written, told } = await run([{ ...stored("A"), isStateLost: true }, stored("B")]);
  assert.deepEqual(
    taken.map(({ state }) => state.held?.sinceMs),
    [nowMs, undefined],
  );
  assert.equal(written.length, 1);
  assert.match(told[0] ?? "", /^A: its state on disk was damaged/);
});

test("restore: blamed for a death is what was worked on; what only waited for its host, where nothing was", () => {
  const waits = { id: "WAITS", phase: "waits" } as const;
  const works = { id: "WORKS", phase: "works" } as const;
  assert.deepEqual(blamed([waits, works]), ["WORKS"]);
  assert.deepEqual(blamed([waits]), ["WAITS"]);
  assert.deepEqual(blamed([]), []);
});
