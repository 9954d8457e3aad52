/**
 * Where a name stands in a sharded table. The hash runs over the name from right to left, so one pass
 * over `a.b.example` yields the hashes of `example`, `b.example` and `a.b.example` on its way.
 * It spreads names evenly; it protects nothing (shards are checked by SHA-256).
 */
const seed = 0x811c9dc5;

export function hashStart(): number {
  return seed;
}

export function hashStep(state: number, charCode: number): number {
  return Math.imul(state ^ charCode, 0x01000193);
}

/** Final mixing (MurmurHash3): the low bits of FNV alone depend too little on the last characters. */
export function hashEnd(state: number): number {
  let hash = state;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Goes on to the left over all of `text`. */
export function hashTo(state: number, text: string): number {
  let hash = state;
  for (let at = text.length - 1; at >= 0; at -= 1) hash = hashStep(hash, text.charCodeAt(at));
  return hash;
}

export function hashOf(name: string): number {
  return hashEnd(hashTo(seed, name));
}
