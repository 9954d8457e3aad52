import assert from "node:assert/strict";
import { test } from "node:test";
import { Places } from "./places.ts";

const at = (segment: number) => ({ segment, at: 0, bodyAt: 10, bytes: 100, file: undefined });

/** A message that segment 1 has beside another, and that segment 2 says is gone. */
function goneInTwo(): Places {
  const places = new Places();
  places.grown(1, 1000);
  places.accepted("stays", at(1));
  places.accepted("gone", at(1));
  places.grown(2, 1000);
  places.removed("gone", 2);
  return places;
}

test("places: what a segment says is gone is carried on while an older one has it", () => {
  const places = goneInTwo();
  assert.deepEqual(places.removalsToCarry(2), [{ oldest: 1, newest: 1, ids: ["gone"] }]);
  places.removed("stays", 2);
  places.dropped(1);
  assert.deepEqual(places.removalsToCarry(2), []);
});

test("places: nothing is said to be gone again that has come again, or is on its way", () => {
  const places = goneInTwo();
  places.arriving("gone");
  assert.equal(places.removalsToCarry(2), undefined);
  places.grown(3, 1000);
  places.accepted("gone", at(3));
  places.arrived("gone");
  assert.deepEqual(places.removalsToCarry(2), []);
  // Its end is said of the first place, too.
  places.removed("gone", 3);
  places.grown(4, 10);
  assert.deepEqual(places.removalsToCarry(3), [{ oldest: 1, newest: 3, ids: ["gone"] }]);
});

test("places: a file that two messages name is the later one's, whose body it has now", () => {
  const places = new Places();
  places.accepted("earlier", { ...at(1), file: "0000000001" });
  places.accepted("later", { ...at(2), file: "0000000001" });
  assert.deepEqual([places.get("earlier")?.file, places.get("later")?.file], [null, "0000000001"]);
  places.removed("earlier", 3);
  assert.deepEqual([...places.files], ["0000000001"]);
  places.removed("later", 3);
  assert.deepEqual([...places.files], []);
});

test("places: a message that has come again, in another file, keeps that when its first one is another's", () => {
  const places = new Places();
  places.accepted("again", { ...at(1), file: "0000000001" });
  places.accepted("again", { ...at(2), file: "0000000002" });
  places.accepted("other", { ...at(2), file: "0000000001" });
  assert.equal(places.get("again")?.file, "0000000002");
  assert.deepEqual([...places.files].sort(), ["0000000001", "0000000002"]);
});
