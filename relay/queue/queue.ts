/**
 * The queue: every message that is spooled and not finished, when it is due, and what happens to each
 * recipient after an attempt. Loop: it decides nothing itself (redecide, nextStep and planTransactions do)
 * and knows no SMTP. What an attempt changed is on disk before the entry is let go.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Retry, Route } from "../../routing/route.ts";
import type { Delivery, Job } from "../delivery/delivery.ts";
import { type Group, planTransactions } from "../delivery/plan.ts";
import type { Outcome } from "../outcome.ts";
import { type Envelope, freshState, type Pending, type StoredRecipient } from "../spool/records.ts";
import type { Change, Spool } from "../spool/spool.ts";
import type { TableHolder } from "../table/holder.ts";
import { type Clock, DueTimes } from "./due.ts";
import type { QueueEvents } from "./events.ts";
import { Lanes } from "./lanes.ts";
import { Pace } from "./pace.ts";
import { redecide } from "./redecide.ts";
import type { Report, Reporter } from "./reports.ts";
import { nextStep } from "./schedule.ts";
import { toldOf } from "./told.ts";

export type QueueOptions = {
  readonly spool: Spool;
  readonly tables: TableHolder;
  readonly delivery: Delivery;
  readonly reporter: Reporter;
  readonly events: QueueEvents;
  readonly clock: Clock;
  readonly random: () => number;
  readonly outbound: Route;
  /** As formatAddress writes it. */
  readonly postmaster: string;
  readonly limits: {
    readonly activeMax: number;
    readonly activePerDestinationMax: number;
    readonly bodyBytesInMemoryMax: number;
  };
};

type Entry = {
  readonly envelope: Envelope;
  /** By recipient; null is finished. */
  readonly pending: (Pending | null)[];
  /** The route that each recipient was last given, to see on a reload whether it changed. */
  readonly routes: (Route | undefined)[];
  body: Buffer | undefined;
  /** Recipients that are due and wait for their route's turn (`maxMessagesPerSecond`). */
  readonly paced: Set<number>;
  /** Transactions under way; the entry is not due again before they end. */
  underWay: number;
};

type Settled = { readonly index: number; readonly outcome: Outcome };

const saveAgainMs = 5000;
const entriesPerSlice = 500;
/** How early recipients of one message may be tried together with one that is due. */
const togetherMs = 1000;

export class Queue {
  readonly #options: QueueOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #due: DueTimes;
  readonly #lanes: Lanes;
  readonly #pace: Pace;
  readonly #stop = new AbortController();
  #bodyBytes = 0;
  #unsaved = 0;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#due = new DueTimes(options.clock, (id) => this.#attempt(id));
    this.#pace = new Pace(options.clock, (id) => this.#attempt(id));
    this.#lanes = new Lanes({
      activeMax: options.limits.activeMax,
      activePerLaneMax: options.limits.activePerDestinationMax,
    });
    options.tables.subscribe(() => void this.#wakeChanged());
  }

  /** Takes over what an earlier process left. Call once, before anything is added. */
  async restore(corrupt: (id: string) => void): Promise<number> {
    let count = 0;
    for (const { envelope, state } of this.#options.spool.list(corrupt)) {
      this.#take(envelope, [...state.recipients], undefined);
      count += 1;
      if (count % entriesPerSlice === 0) await turn();
    }
    return count;
  }

  /** A message that has just been spooled; `body` as it was written. */
  add(envelope: Envelope, body: Buffer): void {
    const room = this.#bodyBytes + body.length <= this.#options.limits.bodyBytesInMemoryMax;
    this.#take(envelope, [...freshState(envelope).recipients], room ? body : undefined);
  }

  #take(envelope: Envelope, pending: (Pending | null)[], body: Buffer | undefined): void {
    const routes = pending.map(() => undefined);
    const entry: Entry = { envelope, pending, routes, body, paced: new Set(), underWay: 0 };
    if (body !== undefined) this.#bodyBytes += body.length;
    this.#entries.set(envelope.id, entry);
    this.#schedule(entry);
  }

  get size(): number {
    return this.#entries.size;
  }

  get active(): number {
    return this.#lanes.active;
  }

  /** Arrival of the oldest message, epoch ms; undefined when empty. Entries stand in order of arrival. */
  get oldestMs(): number | undefined {
    for (const entry of this.#entries.values()) return entry.envelope.arrivedAtMs;
    return undefined;
  }

  /** Starts nothing more, gives what runs `graceMs`, then cuts it off: all of it is on disk. */
  async stop(options: { readonly graceMs: number }): Promise<void> {
    this.#lanes.stop();
    this.#due.stop();
    this.#pace.stop();
    const deadline = this.#options.clock.now() + options.graceMs;
    while ((this.#lanes.active > 0 || this.#unsaved > 0) && this.#options.clock.now() < deadline) {
      await new Promise<void>((resolve) => this.#options.clock.wait(20, resolve));
    }
    this.#stop.abort();
  }

  #schedule(entry: Entry): void {
    let earliest = Number.POSITIVE_INFINITY;
    for (const [index, pending] of entry.pending.entries()) {
      if (pending === null || entry.paced.has(index)) continue;
      if (pending.dueAtMs < earliest) earliest = pending.dueAtMs;
    }
    if (earliest <= this.#options.clock.now()) this.#attempt(entry.envelope.id);
    else if (earliest < Number.POSITIVE_INFINITY) this.#due.set(entry.envelope.id, earliest);
  }

  #attempt(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || this.#stop.signal.aborted) return;
    entry.paced.clear(); // they ask for their turn again, below or when what is under way has ended
    if (entry.underWay > 0) return;
    const table = this.#options.tables.current;
    if (table === undefined) return; // not before the first table: subscribe wakes us
    const dueBefore = this.#options.clock.now() + togetherMs;
    const settled: Settled[] = [];
    const sends: { index: number; address: string; domain: string; route: Route }[] = [];
    const { envelope } = entry;
    for (const [index, recipient] of envelope.recipients.entries()) {
      const pending = entry.pending[index];
      if (pending === null || pending === undefined || pending.dueAtMs > dueBefore) continue;
      const { outbound, postmaster } = this.#options;
      const way = redecide({ ...table, envelope, recipient, outbound, postmaster });
      entry.routes[index] = way.route;
      if (way.kind === "settled") settled.push({ index, outcome: way.outcome });
      else sends.push({ index, address: recipient.address, domain: way.domain, route: way.route });
    }
    const groups = planTransactions(sends);
    entry.underWay = groups.length + (settled.length > 0 ? 1 : 0);
    for (const group of groups) {
      this.#lanes.add(group.key, () => this.#send(entry, group));
    }
    if (settled.length > 0) void this.#settle(entry, settled);
    else if (groups.length === 0) this.#schedule(entry);
  }

  /** Asked when the lane has room, so that what starts is what counts. */
  #mayGo({ envelope }: Entry, { route }: Group): boolean {
    const max = route.delivery.maxMessagesPerSecond;
    if (max === undefined) return true;
    const perSecond = max / (this.#options.tables.current?.relays ?? 1);
    return this.#pace.mayGo({ route: route.id, perSecond, id: envelope.id });
  }

  async #send(entry: Entry, group: Group): Promise<void> {
    if (!this.#mayGo(entry, group)) {
      for (const { index } of group.recipients) entry.paced.add(index);
      this.#ended(entry);
      return;
    }
    const { envelope } = entry;
    const body = entry.body ?? this.#options.spool.body(envelope);
    const { recipients } = group;
    if (body === undefined) {
      this.#options.events.corrupt(envelope.id);
      const reply = { code: 451, status: "4.3.0", text: "the message is damaged on disk" };
      const outcome: Outcome = { kind: "deferred", cause: "local", reply };
      await this.#settle(
        entry,
        recipients.map(({ index }) => ({ index, outcome })),
      );
      return;
    }
    const job: Job = {
      id: envelope.id,
      sender: envelope.sender,
      recipients: recipients.map(({ address }) => address),
      body,
      eightBit: envelope.eightBit,
      smtputf8: envelope.smtputf8,
      route: group.route,
      domain: group.domain,
    };
    const startedMs = this.#options.clock.now();
    const outcomes = await this.#options.delivery.deliver(job, this.#stop.signal);
    const tookMs = this.#options.clock.now() - startedMs;
    const settled: Settled[] = [];
    for (const [place, { index }] of recipients.entries()) {
      const outcome = outcomes[place];
      if (outcome !== undefined) settled.push({ index, outcome });
    }
    // Not awaited: the destination's turn is over, what is left is between us and the disk.
    void this.#settle(entry, settled, tookMs);
  }

  async #settle(entry: Entry, settled: readonly Settled[], tookMs = 0): Promise<void> {
    const { events, clock } = this.#options;
    const { envelope } = entry;
    const failed: Report[] = [];
    const delayed: Report[] = [];
    for (const { index, outcome } of settled) {
      const recipient = envelope.recipients[index] as StoredRecipient;
      const pending = entry.pending[index] as Pending;
      const nowMs = clock.now();
      const retry = this.#retryOf(entry.routes[index]);
      const mayWarn = envelope.trusted && envelope.sender !== "";
      const step = nextStep({
        recipient,
        pending,
        outcome,
        retry,
        nowMs,
        jitter: this.#options.random(),
        mayWarn,
      });
      const route = entry.routes[index]?.id ?? "";
      events.attempted({
        envelope,
        recipient,
        route,
        outcome,
        step,
        attempt: pending.attempts + 1,
        ms: tookMs,
        nowMs,
      });
      if (step.kind === "retry") {
        entry.pending[index] = step.pending;
        if (step.warn) delayed.push({ recipient, ...toldOf(outcome) });
        continue;
      }
      entry.pending[index] = null;
      if (step.kind === "bounce") {
        failed.push({ recipient, ...toldOf(outcome), reply: step.reply });
      }
    }
    await this.#save(entry, failed, delayed);
    this.#ended(entry);
  }

  /** One of the transactions of an attempt; after the last one the entry is let go. */
  #ended(entry: Entry): void {
    entry.underWay -= 1;
    if (entry.underWay > 0) return;
    if (entry.pending.every((pending) => pending === null)) this.#forget(entry);
    else {
      this.#dropBody(entry);
      const table = this.#options.tables.current;
      // A reload that came while this was under way counts for it too.
      if (table !== undefined && this.#changed(entry, table)) this.#wake(entry);
      else this.#schedule(entry);
    }
  }

  #retryOf(route: Route | undefined): Retry {
    return (route ?? this.#options.outbound).retry;
  }

  /** A recipient's end and the report that it causes are one transaction on disk (design, section 5). */
  async #save(entry: Entry, failed: readonly Report[], delayed: readonly Report[]): Promise<void> {
    const { envelope } = entry;
    const table = this.#options.tables.current;
    const original = { envelope, body: () => entry.body ?? this.#options.spool.body(envelope) };
    const reports = [
      ...(failed.length > 0
        ? [this.#options.reporter.report("failed", original, failed, table)]
        : []),
      ...(delayed.length > 0
        ? [this.#options.reporter.report("delayed", original, delayed, table)]
        : []),
    ].filter((report) => report !== undefined);
    const finished = entry.pending.every((pending) => pending === null);
    const own: Change = finished
      ? { kind: "remove", id: envelope.id, bytes: envelope.bytes }
      : { kind: "update", id: envelope.id, state: { recipients: [...entry.pending] } };
    const accepts = reports.map((report): Change => ({ kind: "accept", ...report }));
    await this.#commit([own, ...accepts]);
    for (const { envelope: reported, body } of reports) {
      this.#options.events.reported(reported, envelope.id);
      this.add(reported, body);
    }
  }

  /** Until it is on disk: what was done cannot be undone, and must not be done again. */
  async #commit(changes: readonly Change[]): Promise<void> {
    this.#unsaved += 1;
    try {
      for (;;) {
        try {
          await this.#options.spool.commit(changes);
          return;
        } catch (error) {
          this.#options.events.unsaved(error);
          if (this.#stop.signal.aborted) return;
        }
        await new Promise<void>((resolve) => this.#options.clock.wait(saveAgainMs, resolve));
      }
    } finally {
      this.#unsaved -= 1;
    }
  }

  #forget(entry: Entry): void {
    this.#dropBody(entry);
    this.#entries.delete(entry.envelope.id);
    this.#due.delete(entry.envelope.id);
  }

  #dropBody(entry: Entry): void {
    if (entry.body === undefined) return;
    this.#bodyBytes -= entry.body.length;
    entry.body = undefined;
  }

  /** After a reload: whoever would now go another way than at his last attempt is tried at once. */
  async #wakeChanged(): Promise<void> {
    const table = this.#options.tables.current;
    if (table === undefined) return;
    let looked = 0;
    for (const entry of this.#entries.values()) {
      looked += 1;
      if (looked % entriesPerSlice === 0) await turn();
      if (this.#stop.signal.aborted || this.#options.tables.current !== table) return;
      if (entry.underWay === 0 && this.#changed(entry, table)) this.#wake(entry);
    }
  }

  #changed(entry: Entry, table: NonNullable<TableHolder["current"]>): boolean {
    const { envelope } = entry;
    const { outbound, postmaster } = this.#options;
    return envelope.recipients.some((recipient, index) => {
      if (entry.pending[index] === null) return false;
      const { route } = redecide({ ...table, envelope, recipient, outbound, postmaster });
      return !isSameRoute(route, entry.routes[index]);
    });
  }

  #wake(entry: Entry): void {
    const nowMs = this.#options.clock.now();
    for (const [index, pending] of entry.pending.entries()) {
      if (pending !== null) entry.pending[index] = { ...pending, dueAtMs: nowMs };
    }
    this.#due.delete(entry.envelope.id);
    this.#attempt(entry.envelope.id);
  }
}

/** A reload makes new objects also for routes that did not change. */
function isSameRoute(a: Route | undefined, b: Route | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
