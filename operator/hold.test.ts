import assert from "node:assert/strict";
import { test } from "node:test";
import { Hold } from "./hold.ts";

const losses = (...names: string[]) => new Set(names.map((each) => `domain:${each}.example\t`));

test("hold: an approval covers what was shown under its digest, and any part of it", () => {
  const hold = new Hold();
  const digest = hold.show(losses("a", "b"));
  assert.equal(hold.covers(digest, losses("a", "b")), true);
  assert.equal(hold.covers(digest, losses("b", "a")), true, "in whatever order");
  assert.equal(hold.covers(digest, losses("b")), true);
  assert.equal(hold.covers(digest, losses("a", "b", "c")), false);
  assert.equal(hold.covers(digest, losses("c")), false);
  assert.equal(hold.covers(undefined, losses()), false);
  assert.equal(hold.covers("", losses("a")), false);
});

test("hold: what was shown since takes nothing from what was shown before", () => {
  const hold = new Hold();
  const first = hold.show(losses("a", "b"));
  const second = hold.show(losses("a", "b", "c"));
  assert.notEqual(first, second);
  assert.equal(hold.covers(first, losses("a")), true);
  assert.equal(hold.covers(first, losses("a", "c")), false);
  assert.equal(hold.covers(second, losses("a", "c")), true);
});

test("hold: on another occasion the same losses have another digest", () => {
  const digest = new Hold().show(losses("a"));
  const later = new Hold();
  assert.notEqual(later.show(losses("a")), digest);
  assert.equal(later.covers(digest, losses("a")), false);
});

test("hold: another leader takes an approval of what he would show himself, and of nothing else", () => {
  const first = new Hold();
  const digest = first.show(losses("a", "b"));
  const next = new Hold(first.occasion);
  assert.equal(next.covers(digest, losses("a", "b")), true);
  assert.equal(next.covers(digest, losses("a")), false, "he was not there when it was shown");
});

test("hold: of large losses that change on and on the last few are remembered", () => {
  const hold = new Hold();
  const large = (from: number) =>
    new Set(Array.from({ length: 90_000 }, (_, each) => `domain:d${from + each}.example\t`));
  const digests = [0, 1, 2].map((from) => hold.show(large(from)));
  const part = losses("d50");
  assert.deepEqual(
    digests.map((digest) => hold.covers(digest, part)),
    [false, true, true],
  );
});
