import assert from "node:assert/strict";
import { test } from "node:test";
import type { Envelope } from "../spool/records.ts";
import type { Entry } from "./entry.ts";
import { Parked } from "./parked.ts";

function entryOf(id: string): Entry {
  return { envelope: { id } as Envelope, parkedUnder: [] as readonly string[] } as Entry;
}

test("parked: a message that goes is waited for nowhere, whichever destinations it stood under", () => {
  const parked = new Parked();
  const [one, two] = [entryOf("one"), entryOf("two")];
  parked.add("a", one);
  parked.add("a", one);
  parked.add("b", one);
  parked.add("a", two);
  parked.forget(one);
  assert.deepEqual([...(parked.take("a") ?? [])], ["two"]);
  assert.equal(parked.take("b"), undefined);
  assert.equal(parked.take("a"), undefined);
});
