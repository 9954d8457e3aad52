/**
 * Which rule decides a recipient (docs/routing.md): the most specific recipient key that has an entry
 * for this sender, whatever the order of lists and resources. Reads a table, changes nothing; no
 * allocation beyond the answer, because it runs for every RCPT and every delivery attempt.
 */
import { type Address, baseOfTag, localKey } from "./address.ts";
import { type Domain, isLiteral, type Literal } from "./domain.ts";
import { hashEnd, hashStart, hashStep, hashTo } from "./hash.ts";
import { everyDomain, type KeyKind, keyOf, type RecipientKey, type SenderKey } from "./key.ts";
import type { Route, RouteId } from "./route.ts";
import {
  type Entries,
  entryList,
  everyDomainEntries,
  type RouteTable,
  routeOf,
  shardAt,
} from "./table.ts";

export type Match =
  | {
      readonly kind: "route";
      readonly key: RecipientKey;
      readonly senderKey?: SenderKey;
      readonly route: Route;
    }
  /** No key: by MX of the recipient's domain, for whoever may do that. */
  | { readonly kind: "outbound" }
  /** An address literal that no `domains` entry names: 5.1.2, never "." or MX. */
  | { readonly kind: "unlisted-literal" };

/** `sender` undefined is the null sender: it matches no entry with senders. */
export type Envelope = { readonly recipient: Address; readonly sender: Address | undefined };

/** One recipient key at which the search stops, most specific first. */
type Rung = { readonly kind: KeyKind; readonly name: string; readonly entries: Entries };

/** RFC 1035 allows 127 labels. Filled and read within one synchronous call. */
const starts = new Int32Array(128);
const hashes = new Uint32Array(128);

export function match(table: RouteTable, envelope: Envelope): Match {
  const decided = climb(table, envelope.recipient, (rung) => {
    const found = applicable(rung.entries, envelope.sender);
    const route = found && routeOf(table, found.route);
    if (route === undefined) return undefined;
    const key = keyOf(rung.kind, rung.name);
    const { senderKey } = found as Applicable;
    return senderKey === undefined
      ? { kind: "route" as const, key, route }
      : { kind: "route" as const, key, senderKey, route };
  });
  if (decided !== undefined) return decided;
  return envelope.recipient.isLiteral ? { kind: "unlisted-literal" } : { kind: "outbound" };
}

/** Visits the keys that cover the recipient, most specific first, until the visitor answers. */
function climb<T>(
  table: RouteTable,
  recipient: Address,
  visit: (rung: Rung) => T | undefined,
): T | undefined {
  // Literals match `domains` entries only.
  if (recipient.isLiteral || !table.hasAddresses) return atNames(table, recipient.domain, visit);
  return atAddress(table, recipient, visit) ?? atNames(table, recipient.domain, visit);
}

function atAddress<T>(
  table: RouteTable,
  { local, domain }: Address,
  visit: (rung: Rung) => T | undefined,
): T | undefined {
  const written = localKey(local);
  const base = baseOfTag(written);
  const state = hashStep(hashTo(hashStart(), domain), at);
  const answer = atMailbox(table, { local: written, domain, state }, visit);
  if (answer !== undefined || base === undefined) return answer;
  return atMailbox(table, { local: base, domain, state }, visit);
}

const at = "@".charCodeAt(0);
const dot = ".".charCodeAt(0);

type Mailbox = { readonly local: string; readonly domain: string; readonly state: number };

/** `state` is the hash of "@domain"; the name is put together only where the shard has addresses. */
function atMailbox<T>(
  table: RouteTable,
  { local, domain, state }: Mailbox,
  visit: (rung: Rung) => T | undefined,
): T | undefined {
  const { addresses } = shardAt(table, hashEnd(hashTo(state, local)));
  if (addresses.size === 0) return undefined;
  const name = `${local}@${domain}`;
  const entries = addresses.get(name);
  return entries && visit({ kind: "address", name, entries });
}

function atNames<T>(
  table: RouteTable,
  domain: Domain | Literal,
  visit: (rung: Rung) => T | undefined,
): T | undefined {
  const isName = !isLiteral(domain);
  for (let label = hashLabels(domain) - 1; label >= 0; label -= 1) {
    const start = starts[label] as number;
    const hash = hashes[label] as number;
    const { names } = shardAt(table, hash);
    const row = names.find(hash, domain, start);
    if (row >= 0) {
      const exact = start === 0 ? names.domainAt(row) : undefined;
      const suffix = isName ? names.suffixAt(row) : undefined;
      const name = domain.slice(start);
      const answer =
        (exact && visit({ kind: "domain", name, entries: exact })) ??
        (suffix && visit({ kind: "suffix", name, entries: suffix }));
      if (answer !== undefined) return answer;
    }
    if (!isName) return undefined;
  }
  const entries = everyDomainEntries(table);
  return entries && visit({ kind: "suffix", name: everyDomain, entries });
}

/** One pass from the right: start and hash of every suffix, the shortest first. */
function hashLabels(domain: string): number {
  let count = 0;
  let state = hashStart();
  for (let at = domain.length - 1; at >= 0; at -= 1) {
    const code = domain.charCodeAt(at);
    if (code === dot) {
      starts[count] = at + 1;
      hashes[count] = hashEnd(state);
      count += 1;
    }
    state = hashStep(state, code);
  }
  starts[count] = 0;
  hashes[count] = hashEnd(state);
  return count + 1;
}

type Applicable = { readonly route: RouteId; readonly senderKey: SenderKey | undefined };

/** The most specific entry whose senders include this one; the entry without senders comes last. */
function applicable(entries: Entries, sender: Address | undefined): Applicable | undefined {
  if (typeof entries === "string") return { route: entries, senderKey: undefined };
  if (sender !== undefined) {
    for (const senderKey of senderKeysOf(sender)) {
      const route = entries.bySender.get(senderKey);
      if (route !== undefined) return { route, senderKey };
    }
  }
  return entries.any === undefined ? undefined : { route: entries.any, senderKey: undefined };
}

/** The keys that cover a sender, most specific first. Senders match as written: no tag rule. */
export function senderKeysOf({ local, domain }: Address): readonly SenderKey[] {
  const keys = [keyOf("address", `${localKey(local)}@${domain}`), keyOf("domain", domain)];
  if (isLiteral(domain)) return keys;
  return [...keys, ...suffixesOf(domain).map((suffix) => keyOf("suffix", suffix))];
}

/** The name itself, then each shorter one, then ".". */
export function suffixesOf(domain: string): readonly string[] {
  const suffixes = [domain];
  for (let dot = domain.indexOf("."); dot >= 0; dot = domain.indexOf(".", dot + 1)) {
    suffixes.push(domain.slice(dot + 1));
  }
  suffixes.push(everyDomain);
  return suffixes;
}

export type Step = {
  readonly key: RecipientKey;
  readonly senderKey?: SenderKey;
  readonly route?: Route;
  readonly outcome: "wins" | "loses" | "not applicable" | "no entry";
};

/** Every key that could have decided, most specific first, and what became of it: for people. */
export function explain(table: RouteTable, envelope: Envelope): readonly Step[] {
  const steps: Step[] = [];
  const covering = new Map<RecipientKey, Entries>();
  climb(table, envelope.recipient, ({ kind, name, entries }) => {
    covering.set(keyOf(kind, name), entries);
    return undefined;
  });
  let isDecided = false;
  for (const key of recipientKeysOf(envelope.recipient)) {
    const entries = covering.get(key);
    if (entries === undefined) {
      steps.push({ key, outcome: "no entry" });
      continue;
    }
    const best = applicable(entries, envelope.sender);
    for (const step of entrySteps(table, { key, entries, sender: envelope.sender })) {
      const isBest = best !== undefined && step.senderKey === best.senderKey;
      if (isBest && !isDecided) steps.push({ ...step, outcome: "wins" });
      else steps.push(step);
    }
    isDecided ||= best !== undefined;
  }
  return steps;
}

function entrySteps(
  table: RouteTable,
  at: { key: RecipientKey; entries: Entries; sender: Address | undefined },
): readonly Step[] {
  const order: readonly string[] = at.sender === undefined ? [] : senderKeysOf(at.sender);
  const rank = (key: SenderKey | undefined) => {
    if (key === undefined) return order.length;
    const place = order.indexOf(key);
    return place < 0 ? order.length + 1 : place;
  };
  return entryList(at.entries)
    .toSorted(([a], [b]) => rank(a) - rank(b) || ((a ?? "") < (b ?? "") ? -1 : 1))
    .map(([senderKey, id]): Step => {
      const route = routeOf(table, id);
      const outcome = rank(senderKey) > order.length ? "not applicable" : "loses";
      return {
        key: at.key,
        ...(senderKey !== undefined && { senderKey }),
        ...(route !== undefined && { route }),
        outcome,
      };
    });
}

/** The recipient keys that could decide, most specific first. */
export function recipientKeysOf({ local, domain }: Address): readonly RecipientKey[] {
  if (isLiteral(domain)) return [keyOf("domain", domain)];
  const written = localKey(local);
  const base = baseOfTag(written);
  const keys = [keyOf("address", `${written}@${domain}`)];
  if (base !== undefined) keys.push(keyOf("address", `${base}@${domain}`));
  keys.push(keyOf("domain", domain));
  return [...keys, ...suffixesOf(domain).map((suffix) => keyOf("suffix", suffix))];
}
