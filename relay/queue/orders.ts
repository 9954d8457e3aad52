/**
 * What a person does with the queue: look, hold, release, retry, remove, bounce, reroute. Loop: it walks through
 * the queue in slices, so that mail goes on, and has every change on disk before it is counted as done. Whoever
 * may ask is not its matter.
 */
import { parseAddress } from "../../routing/address.ts";
import { match } from "../../routing/match.ts";
import type { Route } from "../../routing/route.ts";
import { headerBlock } from "../delivery/header.ts";
import { isWanted } from "../dsn-request.ts";
import type { Reply } from "../outcome.ts";
import { outboundKey } from "../policy/admission-key.ts";
import type { Envelope } from "../spool/records.ts";
import type { Spool } from "../spool/spool.ts";
import type { TableHolder } from "../table/holder.ts";
import { admitted, type Entry, roundOf } from "./entry.ts";
import type { Queue } from "./queue.ts";
import { wayOf } from "./redecide.ts";
import { isMessageMeant, isOfRecipients, isRecipientMeant, type Selection } from "./selection.ts";
import { Slices, type SlicesOptions } from "./slices.ts";

export const orderNames = ["hold", "release", "retry", "remove", "bounce", "reroute"] as const;
export type OrderName = (typeof orderNames)[number];

export type OrdersOptions = {
  readonly queue: Queue;
  readonly spool: Pick<Spool, "head">;
  readonly tables: TableHolder;
  readonly outbound: Route;
  readonly postmaster: string;
  readonly now: () => number;
  /** It is on disk. */
  readonly ordered: (order: OrderName, envelope: Envelope, addresses: readonly string[]) => void;
  readonly slices?: SlicesOptions;
};

/** A message as it is shown: times are epoch ms. */
export type Listed = {
  readonly id: string;
  readonly sender: string;
  readonly client: string;
  readonly arrivedAtMs: number;
  readonly bytes: number;
  readonly held?: { readonly sinceMs: number; readonly why: string };
  /** Only those that are not finished. */
  readonly recipients: readonly {
    readonly address: string;
    readonly key: string;
    readonly route: string;
    readonly attempts: number;
    readonly dueAtMs: number;
    readonly expiresAtMs: number;
    readonly last: string;
    readonly underWay: boolean;
  }[];
};

export type CarriedOut = {
  readonly messages: number;
  readonly recipients: number;
  /** Of the messages, those that are being delivered now: the order counts when that has ended. */
  readonly waiting: number;
};

export type Page = { readonly after: string | undefined; readonly limit: number };

const ordersAtOnce = 500;
/** A report is made of its message, of which some has to be read. */
const bouncesAtOnce = 8;
/** A message that is being delivered may be so for minutes: nobody waits for it longer. */
const waitMsMax = 2000;
const headerBytesMax = 64 * 1024;
const whyCharsMax = 200;

export class Orders {
  readonly #options: OrdersOptions;

  constructor(options: OrdersOptions) {
    this.#options = options;
  }

  /** In the order in which they came, beginning behind the id `after`. */
  async *list(selection: Selection, { after, limit }: Page): AsyncGenerator<Listed> {
    let count = 0;
    for await (const [entry, places] of this.#walk(selection, after)) {
      if (count === limit) return;
      count += 1;
      yield await this.#listed(entry, isOfRecipients(selection) ? places : undefined);
    }
  }

  /** Undefined where there is no such message. */
  async show(id: string): Promise<Listed | undefined> {
    const entry = this.#options.queue.find(id);
    return entry && (await this.#listed(entry, undefined));
  }

  /** Its header section as text; undefined where it is gone or damaged. */
  async header(id: string): Promise<string | undefined> {
    const entry = this.#options.queue.find(id);
    const head = entry && (await this.#options.spool.head(entry.envelope, headerBytesMax));
    return head === undefined || typeof head === "string"
      ? undefined
      : headerBlock(head, headerBytesMax).toString();
  }

  /** How many an order would reach. */
  async count(selection: Selection): Promise<CarriedOut> {
    const count = { messages: 0, recipients: 0, waiting: 0 };
    for await (const [entry, places] of this.#walk(selection)) {
      count.messages += 1;
      count.recipients += places.length;
      if (entry.underWay > 0) count.waiting += 1;
    }
    return count;
  }

  /** `why` is what the log, and at a bounce the sender, is told. */
  async carryOut(order: OrderName, selection: Selection, why: string): Promise<CarriedOut> {
    const count = { messages: 0, recipients: 0, waiting: 0 };
    let slice: Promise<boolean>[] = [];
    const flush = async (): Promise<void> => {
      const ended = await Promise.all(slice);
      count.waiting += ended.filter((isDone) => !isDone).length;
      slice = [];
    };
    for await (const [entry, places] of this.#walk(selection)) {
      count.messages += 1;
      count.recipients += places.length;
      slice.push(this.#order(order, { entry, places, why: why.slice(0, whyCharsMax) }));
      if (slice.length === (order === "bounce" ? bouncesAtOnce : ordersAtOnce)) await flush();
    }
    await flush();
    return count;
  }

  async *#walk(selection: Selection, after?: string): AsyncGenerator<[Entry, number[]]> {
    const { queue, now } = this.#options;
    const nowMs = now();
    const slices = new Slices(this.#options.slices);
    for (const entry of behind(after, queue, entriesOf(queue, selection))) {
      if (slices.isOver) await slices.next();
      if (queue.hasStopped) return; // it may be another relay's by now
      if (entry.envelope.arrivedAtMs > nowMs) continue; // came since: reports of this very order, too
      if (!isMessageMeant(entry, selection, nowMs)) continue;
      const routeNow = (index: number): string => this.#routeOf(entry, index);
      const places: number[] = [];
      for (const index of entry.pending.keys()) {
        if (slices.isOver) await slices.next();
        if (isRecipientMeant(entry, index, selection, routeNow)) places.push(index);
      }
      if (places.length > 0) yield [entry, places];
    }
  }

  /** Resolves with whether it is done. */
  async #order(
    order: OrderName,
    { entry, places, why }: { entry: Entry; places: readonly number[]; why: string },
  ): Promise<boolean> {
    const { queue, ordered, now } = this.#options;
    const done = queue.order(entry.envelope.id, () => {
      const left = places.filter((index) => entry.pending[index] !== null);
      this.#apply(order, { entry, places: left, why, nowMs: now() });
      const addresses = left.map((index) => entry.envelope.recipients[index]?.address ?? "");
      ordered(order, entry.envelope, addresses);
    });
    if (entry.underWay === 0) return true;
    const late = new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(false), waitMsMax).unref();
    });
    return await Promise.race([done.then(() => true), late]);
  }

  #apply(
    order: OrderName,
    the: { entry: Entry; places: readonly number[]; why: string; nowMs: number },
  ): void {
    const { entry, places, why, nowMs } = the;
    if (order === "hold") {
      entry.held ??= { sinceMs: nowMs, why: why === "" ? "by order" : why };
      return;
    }
    if (order === "release") {
      entry.held = undefined;
      entry.deaths = 0;
    }
    for (const index of places) {
      const pending = entry.pending[index] ?? null;
      const recipient = entry.envelope.recipients[index];
      if (pending === null || recipient === undefined) continue;
      if (order === "remove") entry.pending[index] = null;
      else if (entry.round?.ended.some((each) => each.index === index)) continue;
      else if (order === "bounce" && !isWanted(recipient, "FAILURE", "told")) {
        entry.pending[index] = null;
      } else if (order === "bounce") {
        const report = { recipient, reply: bounced(why), hop: undefined };
        roundOf(entry).ended.push({ index, action: "failed", report });
      } else {
        const key = order === "reroute" ? this.#keyNow(entry, recipient.address) : pending.key;
        const dueAtMs = order === "release" ? pending.dueAtMs : nowMs;
        entry.pending[index] = { ...pending, dueAtMs, ...(key !== undefined && { key }) };
      }
    }
  }

  /** The key under which mail that comes now would be admitted; a stranger's does not go out by it. */
  #keyNow({ envelope }: Entry, address: string): string | undefined {
    const table = this.#options.tables.current;
    const recipient = parseAddress(address, { utf8: true });
    // Of a table that may be old nobody knows what it lacks: the key stays.
    if (table === undefined || table.stale || recipient === undefined) return undefined;
    const sender = parseAddress(envelope.sender, { utf8: true });
    const found = match(table.table, { recipient, sender });
    if (found.kind === "route") return found.key;
    return found.kind === "outbound" && envelope.trusted ? outboundKey : undefined;
  }

  #routeOf(entry: Entry, index: number): string {
    const table = this.#options.tables.current;
    if (table === undefined) return "";
    const { outbound, postmaster } = this.#options;
    return wayOf(entry, index, { table, outbound, postmaster }).route?.id ?? "";
  }

  async #listed(entry: Entry, places: readonly number[] | undefined): Promise<Listed> {
    const { envelope, held } = entry;
    const { id, sender, client, arrivedAtMs, bytes } = envelope;
    const shown = places ?? entry.pending.keys();
    const recipients: Listed["recipients"][number][] = [];
    const slices = new Slices(this.#options.slices);
    for (const index of shown) {
      if (slices.isOver) await slices.next();
      const pending = entry.pending[index] ?? null;
      if (pending === null) continue;
      const { address, key, expiresAtMs } = admitted(entry, index);
      const { attempts, dueAtMs, last } = pending;
      const route = this.#routeOf(entry, index);
      const underWay = entry.underWay > 0;
      recipients.push({ address, key, route, attempts, dueAtMs, expiresAtMs, last, underWay });
    }
    return { id, sender, client, arrivedAtMs, bytes, ...(held && { held }), recipients };
  }
}

/** Ids are looked up: whoever names one does not walk through a million others. */
function entriesOf(queue: Queue, { ids }: Selection): Iterable<Entry> {
  if (ids === undefined) return queue.entries();
  return [...ids].sort().flatMap((id) => queue.find(id) ?? []);
}

/** Behind the message `after`; where that has gone meanwhile, by its id, as ids are in order of time. */
function* behind(
  after: string | undefined,
  queue: Queue,
  entries: Iterable<Entry>,
): Generator<Entry> {
  let isMet = after === undefined || queue.find(after) === undefined;
  const isById = after !== undefined && isMet;
  for (const entry of entries) {
    const { id } = entry.envelope;
    if (isMet && !(isById && id <= after)) yield entry;
    if (id === after) isMet = true;
  }
}

/** RFC 3463 5.7.0 would blame security: X.0.0 says nothing but that it is final. */
function bounced(why: string): Reply {
  const text = why === "" ? "the postmaster has stopped this message" : why;
  return { code: 554, status: "5.0.0", text };
}
