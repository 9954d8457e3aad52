import assert from "node:assert/strict";
import { test } from "node:test";
import { type Envelope, freshState } from "../spool/records.ts";
import { Bodies } from "./bodies.ts";
import { freshEntry } from "./entry.ts";

const envelope: Envelope = {
  id: "A",
  session: "s",
  client: "192.0.2.1",
  trusted: true,
  sender: "",
  recipients: [{ address: "a@a.test", key: "suffix:a.test", expiresAtMs: 1, warnAtMs: 1 }],
  arrivedAtMs: 0,
  bytes: 5,
  crc: 1,
  eightBit: false,
  smtputf8: false,
};
const spool = {
  body: async () => Buffer.from("spool"),
  head: async () => assert.fail("nobody asked"),
  keepDamaged: async () => true,
};
const entry = () => freshEntry(envelope, freshState(envelope));

for (const { title, read, isKept, kind } of [
  {
    title: "that cannot be read now is deferred",
    read: "unreadable",
    isKept: true,
    kind: "deferred",
  },
  { title: "that is damaged has failed", read: "damaged", isKept: true, kind: "failed" },
  {
    title: "whose remains cannot be kept is deferred",
    read: "damaged",
    isKept: false,
    kind: "deferred",
  },
] as const) {
  test(`bodies: a message ${title}`, async () => {
    const told: string[] = [];
    const spool = {
      body: async () => read,
      head: async () => read,
      keepDamaged: async () => isKept,
    };
    const bodies = new Bodies({ spool, bytesMax: 0, corrupt: (id) => told.push(id) });
    const outcome = await bodies.of(entry());
    assert.ok("kind" in outcome && outcome.kind === kind);
    assert.deepEqual(told, ["A"]);
    assert.equal(await bodies.head(entry(), 1), undefined);
  });
}

test("bodies: what is kept in memory is bounded, and the rest comes from the spool", async () => {
  const bodies = new Bodies({ spool, bytesMax: 8, corrupt: assert.fail });
  const [first, second] = [entry(), entry()];
  const read = async (each: typeof first) => String(await bodies.of(each));
  bodies.keep(first, Buffer.from("first"));
  bodies.keep(second, Buffer.from("second"));
  assert.deepEqual([await read(first), await read(second)], ["first", "spool"]);
  bodies.drop(first);
  bodies.keep(second, Buffer.from("second"));
  assert.deepEqual([await read(first), await read(second)], ["spool", "second"]);
});

test("bodies: the memory of a big one goes back when nothing of its message is under way", async () => {
  const bodies = new Bodies({ spool, bytesMax: 100_000, corrupt: assert.fail });
  const each = entry();
  const body = Buffer.from(new ArrayBuffer(65_536));
  bodies.keep(each, body);
  assert.equal(await bodies.of(each), body);
  bodies.drop(each);
  assert.equal(body.length, 0);
  assert.equal(String(await bodies.of(each)), "spool");
});

test("bodies: of a message whose header is wanted no more than that is given", async () => {
  const spool = {
    body: async () => assert.fail("only the header is wanted"),
    head: async (_: unknown, bytes: number) => Buffer.from("whole").subarray(0, bytes),
    keepDamaged: async () => true,
  };
  const bodies = new Bodies({ spool, bytesMax: 8, corrupt: assert.fail });
  assert.equal(String(await bodies.head(entry(), 3)), "who");
  assert.equal(String(await bodies.head(entry(), 5)), "whole");
});
