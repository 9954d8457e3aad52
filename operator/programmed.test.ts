import assert from "node:assert/strict";
import { test } from "node:test";
import type { RouteId } from "../routing/route.ts";
import { Programmed } from "./programmed.ts";

const id = "mail/a" as RouteId;
const of = (generation: number) => new Map([[id, generation]]);
const relay = (pod: string, digest: string | undefined) => ({
  pod,
  digest,
  failing: new Map(),
});

test("programmed: True only when every ready relay serves a table in which the generation is", () => {
  const programmed = new Programmed();
  programmed.published("d1", of(1));
  programmed.published("d2", of(2));
  assert.equal(programmed.served(id, 2, [relay("r0", "d2"), relay("r1", "d2")]).status, "True");
  const behind = programmed.served(id, 2, [relay("r0", "d2"), relay("r1", "d1")]);
  assert.deepEqual([behind.status, behind.message], ["False", "not served yet by r1"]);
});

test("programmed: a later table that says the same of the route counts, an unknown one and silence do not", () => {
  const programmed = new Programmed();
  programmed.published("d1", of(1));
  programmed.published("d2", of(1));
  assert.equal(programmed.served(id, 1, [relay("r0", "d1"), relay("r1", "d2")]).status, "True");
  assert.equal(programmed.served(id, 1, [relay("r0", "other")]).status, "False");
  assert.equal(programmed.served(id, 1, [relay("r0", undefined)]).status, "False");
});

test("programmed: an edit is False at once, before it is published", () => {
  const programmed = new Programmed();
  programmed.published("d1", of(1));
  assert.equal(programmed.served(id, 2, [relay("r0", "d1")]).reason, "NotPublished");
});

test("programmed: no relay is Unknown", () => {
  const programmed = new Programmed();
  programmed.published("d1", of(1));
  assert.equal(programmed.served(id, 1, []).status, "Unknown");
});

test("programmed: going back to an earlier table's content counts from now", () => {
  const programmed = new Programmed();
  programmed.published("d1", of(1));
  programmed.published("d2", of(2));
  programmed.published("d1", of(3));
  assert.equal(programmed.served(id, 3, [relay("r0", "d1")]).status, "True");
  assert.equal(programmed.served(id, 3, [relay("r0", "d2")]).status, "False");
});

test("programmed: a route that left the table is forgotten", () => {
  const programmed = new Programmed();
  programmed.published("d1", of(1));
  programmed.published("d2", new Map());
  assert.equal(programmed.served(id, 1, [relay("r0", "d2")]).reason, "NotPublished");
});
