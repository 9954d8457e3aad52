/**
 * Whether a new table may replace the one in force. A deleted CRD, an unmounted volume or a broken list
 * must never send internal mail to the Internet: a compile that loses too much waits for a person.
 */
import { holderOf, keyCount, type RouteTable, routeOf, shardEntries } from "./table.ts";

export type Judgement =
  | { readonly publish: true }
  | { readonly publish: false; readonly why: string };

const lostShareMax = 0.3;
const lostKeysMin = 10;

/**
 * Refuses a table that loses more than 30 % of the keys (and more than 10), or all of them. Once it has, what was
 * lost is coming back piece by piece: then it refuses every table that still loses any.
 */
export function judge(options: {
  /** The one in force. */
  readonly previous: RouteTable;
  readonly next: RouteTable;
  /** The table judged before this one was refused. */
  readonly isHolding?: boolean;
}): Judgement {
  const before = keyCount(options.previous);
  if (before === 0) return { publish: true };
  const after = keyCount(options.next);
  if (after === 0) return { publish: false, why: `every key would go: all ${before}` };
  const lost = lostKeys(options.previous, options.next);
  if (options.isHolding === true && lost > 0) {
    return { publish: false, why: `${lost} of ${before} keys are still missing` };
  }
  if (lost > lostKeysMin && lost > before * lostShareMax) {
    return { publish: false, why: `${lost} of ${before} keys would go` };
  }
  return { publish: true };
}

/** Consecutive tables share the shards that are the same: nothing is lost in those. */
function lostKeys(previous: RouteTable, next: RouteTable): number {
  const same = new Set(next.shards);
  let lost = 0;
  for (const shard of previous.shards) {
    if (same.has(shard)) continue;
    for (const { key, senderKey, route } of shardEntries(shard)) {
      if (holderOf(next, key, senderKey) !== undefined) continue;
      // A key that was only held for a vanished route is not lost by this compile.
      if (routeOf(previous, route)?.heldUntilMs === undefined) lost += 1;
    }
  }
  return lost;
}
