/**
 * What a password is hashed with where there is no such user: pure. It costs what most users' hashes cost, so that
 * the time of the answer does not say who is there.
 */
import { type PasswordHash, parsePasswordHash } from "./password-hash.ts";
import type { User } from "./users.ts";

/** With the costs of `mailroute hash-password`, where nobody is there. */
const ofNobody = parsePasswordHash(
  "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5MTIzNA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
) as PasswordHash;

const decoys = new WeakMap<ReadonlyMap<string, User>, PasswordHash>();

/**
 * A hash that is nobody's, of the scheme, costs and length that most users have; of several as frequent the one that
 * came first. Remembered for as long as the users are in force.
 */
export function decoyOf(users: ReadonlyMap<string, User>): PasswordHash {
  const known = decoys.get(users);
  if (known !== undefined) return known;
  const decoy = mostCommon([...users.values()].map(({ hash }) => hash));
  decoys.set(users, decoy);
  return decoy;
}

function mostCommon(hashes: readonly PasswordHash[]): PasswordHash {
  const counts = new Map<string, { readonly like: PasswordHash; count: number }>();
  for (const each of hashes) {
    const { salt, hash, ...costs } = each;
    const key = JSON.stringify([Object.entries(costs), hash.length]);
    const counted = counts.get(key);
    if (counted === undefined) counts.set(key, { like: each, count: 1 });
    else counted.count += 1;
  }
  const [most] = [...counts.values()].sort((a, b) => b.count - a.count);
  if (most === undefined) return ofNobody;
  const { salt, hash } = most.like;
  return { ...most.like, salt: Buffer.alloc(salt.length), hash: Buffer.alloc(hash.length) };
}
