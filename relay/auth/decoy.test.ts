import assert from "node:assert/strict";
import { test } from "node:test";
import { decoyOf } from "./decoy.ts";
import { parsePasswordHash } from "./password-hash.ts";
import type { User } from "./users.ts";

const tail = "$bm9ib2R5bm9ib2R5MTIzNA$c29tZWJvZHlzb21lYm9keXNvbWVib2R5c29tZWJvZHk";
const cheap = `$argon2id$v=19$m=8192,t=1,p=1${tail}`;
const dear = `$argon2id$v=19$m=65536,t=4,p=2${tail}`;
const scrypt = `$scrypt$ln=14,r=8,p=1${tail}`;

function usersOf(...hashes: readonly string[]): ReadonlyMap<string, User> {
  return new Map(
    hashes.map((text, index) => {
      const hash = parsePasswordHash(text);
      assert.ok(typeof hash !== "string");
      const name = `user${index}`;
      return [name, { name, hash, senders: [], messagesPerHour: undefined }];
    }),
  );
}

/** Everything of a hash that takes time. */
const costOf = (users: ReadonlyMap<string, User>) => {
  const { salt, hash, ...costs } = decoyOf(users);
  return { ...costs, saltBytes: salt.length, hashBytes: hash.length };
};

for (const [name, hashes, like] of [
  ["users of one scheme", [dear, dear], dear],
  ["users of scrypt", [scrypt], scrypt],
  ["one who is different", [cheap, scrypt, scrypt, dear], scrypt],
  ["as many of each", [dear, cheap], dear],
] as const) {
  test(`decoy: with ${name} nobody costs what most cost`, () => {
    const { salt, hash, ...costs } = usersOf(like).get("user0")?.hash ?? assert.fail();
    const wanted = { ...costs, saltBytes: salt.length, hashBytes: hash.length };
    assert.deepEqual(costOf(usersOf(...hashes)), wanted);
  });
}

test("decoy: is nobody's hash, and without users costs what a new hash costs", () => {
  const users = usersOf(dear);
  assert.notDeepEqual(decoyOf(users).hash, users.get("user0")?.hash.hash);
  assert.equal(decoyOf(users), decoyOf(users));
  assert.deepEqual(costOf(new Map()), {
    kind: "argon2id",
    memoryKiB: 19_456,
    passes: 2,
    parallelism: 1,
    saltBytes: 16,
    hashBytes: 32,
  });
});
