/**
 * Whether a new table may replace the one in force. A deleted CRD, an unmounted volume or a broken list
 * must never send internal mail to the Internet: a compile that loses too much waits for a person.
 */
import { everyDomain, type SenderKey, suffixKey } from "./key.ts";
import type { RouteId } from "./route.ts";
import {
  holderOf,
  keyCount,
  type Rights,
  type RouteTable,
  rightsOf,
  routeOf,
  shardEntries,
  submitterEntries,
  type TableEntry,
} from "./table.ts";

export type Judgement =
  | { readonly publish: true }
  | { readonly publish: false; readonly why: string };

const lostShareMax = 0.3;
const lostMin = 10;

type Tables = {
  /** The one in force. */
  readonly previous: RouteTable;
  readonly next: RouteTable;
};

/** What goes: of keys, or of namespaces whose workloads may send as somebody. */
type Loss = { readonly before: number; readonly after: number; readonly lost: number };

/**
 * Refuses a table that loses more than 30 % of the keys (and more than 10), or all of them, or so many namespaces'
 * rights to send. Once it has, what was lost is coming back piece by piece: then it refuses every table that still
 * loses any.
 */
export function judge(
  options: Tables & {
    /** The table judged before this one was refused. */
    readonly isHolding?: boolean;
  },
): Judgement {
  const { isHolding = false } = options;
  const why =
    refusal(keyLoss(options), { what: "key", isHolding }) ??
    refusal(rightsLoss(options), { what: "namespace's right to send", isHolding });
  return why === undefined ? { publish: true } : { publish: false, why };
}

function refusal(
  { before, after, lost }: Loss,
  { what, isHolding }: { readonly what: string; readonly isHolding: boolean },
): string | undefined {
  if (before === 0 || lost === 0) return undefined;
  const many = what === "key" ? "keys" : "namespaces' rights to send";
  if (after === 0) return `every ${what} would go: all ${before}`;
  if (isHolding) return `${lost} of ${before} ${many} are still missing`;
  const isTooMuch = lost > lostMin && lost > before * lostShareMax;
  return isTooMuch ? `${lost} of ${before} ${many} would go` : undefined;
}

function keyLoss({ previous, next }: Tables): Loss {
  const after = keyCount(next);
  const before = keyCount(previous);
  return { before, after, lost: after === 0 ? before : lostKeyCount(previous, next) };
}

const everybody = suffixKey(everyDomain);

/** A right in doubt is deferred, so it is not lost. Who may send as anybody before and after is not counted at all. */
function rightsLoss({ previous, next }: Tables): Loss {
  const isAnybody = (table: RouteTable, namespace: string): boolean =>
    rightsOf(table, namespace).senders.includes(everybody);
  const counted = (table: RouteTable): readonly (readonly [string, Rights])[] =>
    [...submitterEntries(table)].filter(
      ([namespace, { senders, inDoubt }]) =>
        (senders.length > 0 || inDoubt === true) &&
        !(isAnybody(previous, namespace) && isAnybody(next, namespace)),
    );
  const before = counted(previous);
  const lost = before.filter(
    ([namespace]) => lostSenders({ previous, next }, namespace).length > 0,
  );
  return { before: before.length, after: counted(next).length, lost: lost.length };
}

/** As whom the namespace's workloads could send, and could not any more. */
function lostSenders({ previous, next }: Tables, namespace: string): readonly SenderKey[] {
  const now = rightsOf(next, namespace);
  if (now.inDoubt === true || now.senders.includes(everybody)) return [];
  return rightsOf(previous, namespace).senders.filter((sender) => !now.senders.includes(sender));
}

/** Keys of `previous` that `next` lacks, but for those that were only held for a vanished route; of all routes, or some. */
export function lostKeyCount(
  previous: RouteTable,
  next: RouteTable,
  isMeant: (route: RouteId) => boolean = () => true,
): number {
  let count = 0;
  for (const { route } of lostEntries({ previous, next })) if (isMeant(route)) count += 1;
  return count;
}

/**
 * What `next` would take away, key by key and right by right, each as a line of its own: what a person approves who
 * approves it. Fields are parted by tabs, which no key holds: the recipient key, the sender key, and of a right to send
 * the namespace.
 */
export function lossesOf(tables: Tables): ReadonlySet<string> {
  const losses = new Set<string>();
  for (const { key, senderKey = "" } of lostEntries(tables)) losses.add(`${key}\t${senderKey}`);
  for (const [namespace] of submitterEntries(tables.previous))
    for (const sender of lostSenders(tables, namespace)) losses.add(`\t${sender}\t${namespace}`);
  return losses;
}

function* lostEntries({ previous, next }: Tables): Generator<TableEntry> {
  // Consecutive tables share the shards that are the same: nothing is lost in those.
  const same = new Set(next.shards);
  for (const shard of previous.shards) {
    if (same.has(shard)) continue;
    for (const entry of shardEntries(shard)) {
      if (holderOf(next, entry.key, entry.senderKey) !== undefined) continue;
      // A key that was only held for a vanished route is not lost by this compile.
      if (routeOf(previous, entry.route)?.heldUntilMs === undefined) yield entry;
    }
  }
}
