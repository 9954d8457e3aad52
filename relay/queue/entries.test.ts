import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Envelope, freshState } from "../spool/records.ts";
import { Entries } from "./entries.ts";
import { freshEntry } from "./entry.ts";

function entryOf(id: string, arrivedAtMs: number) {
  const envelope: Envelope = {
    id,
    session: "s",
    client: "",
    trusted: true,
    sender: "",
    recipients: [{ address: "a@a.test", key: "suffix:a.test", expiresAtMs: 1, warnAtMs: 1 }],
    arrivedAtMs,
    bytes: 1,
    crc: 1,
    eightBit: false,
    smtputf8: false,
  };
  return freshEntry(envelope, freshState(envelope));
}

test("entries: the oldest is found whatever came and went in whatever order", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(20)), { maxLength: 60 });
  fc.assert(
    fc.property(steps, (list) => {
      const entries = new Entries();
      const there = new Map<string, number>();
      for (const [index, [adds, value]] of list.entries()) {
        const id = adds ? `m${index}` : ([...there.keys()][value % (there.size || 1)] ?? "none");
        if (adds) {
          entries.add(entryOf(id, value));
          there.set(id, value);
        } else {
          entries.delete(id);
          there.delete(id);
        }
        const oldest = there.size === 0 ? undefined : Math.min(...there.values());
        assert.equal(entries.oldestMs, oldest);
        assert.equal(entries.size, there.size);
      }
    }),
  );
});
