/**
 * The queue: every message that is spooled and not finished, when it is due, and what happens to each
 * recipient after an attempt. Loop: it decides nothing itself (redecide, nextStep and planTransactions do)
 * and knows no SMTP. What an attempt changed is on disk before the entry is let go.
 */
import { type Group, type Planned, planTransactions } from "../delivery/plan.ts";
import type { Outcome } from "../outcome.ts";
import { type Envelope, freshState } from "../spool/records.ts";
import type { Stored } from "../spool/spool.ts";
import type { TableHolder } from "../table/holder.ts";
import { Bodies } from "./bodies.ts";
import { DueTimes } from "./due.ts";
import { Entries } from "./entries.ts";
import {
  dueAtMs,
  dueOf,
  type Entry,
  freshEntry,
  isFinished,
  isSameRoute,
  laneOf,
  momentOf,
  type Order,
  pace,
  partyOf,
  roundOf,
} from "./entry.ts";
import { type JobOptions, jobFor } from "./job.ts";
import type { Met } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import { metBy } from "./met.ts";
import type { QueueOptions } from "./options.ts";
import { Pace } from "./pace.ts";
import { Parked } from "./parked.ts";
import { wayOf } from "./redecide.ts";
import { Saver } from "./saver.ts";
import { type Settled, Settlement, settledOf } from "./settlement.ts";
import { Slices } from "./slices.ts";

/** A transaction that stands in its lane. */
type Item = { readonly entry: Entry; readonly group: Group };

/** One at a time, so that the next death tells more, and beside it so many whose hosts say nothing. */
const suspectLimits = { activeMax: 1, activePerLaneMax: 1, silentMax: 8 };
/** How early recipients of one message may be tried together with one that is due. */
const togetherMs = 1000;
/** They go after the others: who only comes first at each start is not blamed a third time. */
const blamedTwiceMs = 2000;
/** Of a walk through everything, between two turns of mail that goes. */
const slowlyMsMax = 2;

export class Queue {
  readonly #options: QueueOptions;
  readonly #entries = new Entries();
  readonly #held = new Set<string>();
  readonly #due: DueTimes;
  readonly #lanes: Lanes<Item>;
  /** For messages at which the process has died before. */
  readonly #suspects: Lanes<Item>;
  readonly #parked = new Parked();
  readonly #pace: Pace;
  readonly #stop = new AbortController();
  readonly #bodies: Bodies;
  readonly #saver: Saver;
  readonly #settlement: Settlement;

  constructor(options: QueueOptions) {
    this.#options = options;
    const { spool, clock, events, limits } = options;
    const { corrupt, unsaved } = events;
    this.#bodies = new Bodies({ spool, bytesMax: limits.bodyBytesInMemoryMax, corrupt });
    this.#saver = new Saver({ spool, clock, signal: this.#stop.signal, failed: unsaved });
    this.#settlement = new Settlement({ ...options, saver: this.#saver, bodies: this.#bodies });
    this.#due = new DueTimes(clock, (id) => this.#attempt(id));
    this.#pace = new Pace(clock, (id) => this.#attempt(id));
    const common = {
      clock,
      run: async (item: Item, patience: AbortSignal | undefined) =>
        await this.#send(item, patience),
      spare: async (item: Item, outcome: Outcome) => await this.#spare(item, outcome),
    };
    const { activeMax, activePerDestinationMax: activePerLaneMax, silentMax } = limits;
    this.#lanes = new Lanes({ ...common, limits: { activeMax, activePerLaneMax, silentMax } });
    this.#suspects = new Lanes({ ...common, limits: suspectLimits });
    options.tables.subscribe(() => void this.#wakeChanged());
  }

  /** A message that an earlier process left; it waits for `resume`. */
  restore({ envelope, state }: Stored): void {
    this.#entries.add(freshEntry(envelope, state));
  }

  /** A message that another relay had until now. */
  takeOver(stored: Stored): void {
    this.restore(stored);
    const entry = this.#entries.get(stored.envelope.id);
    if (entry !== undefined) this.#schedule(entry);
  }

  /** Begins with what was restored, a slice at a time: the relay takes mail meanwhile. */
  async resume(): Promise<void> {
    for await (const entry of this.#slowly()) {
      if (entry.underWay > 0) continue;
      if (entry.deaths < 2 || entry.held !== undefined) this.#schedule(entry);
      else this.#due.set(entry.envelope.id, this.#options.clock.now() + blamedTwiceMs);
    }
  }

  /** A message that has just been spooled; `body` as it was written. */
  add(envelope: Envelope, body: Buffer): void {
    const entry = freshEntry(envelope, freshState(envelope));
    this.#bodies.keep(entry, body);
    this.#entries.add(entry);
    this.#schedule(entry);
  }

  /** All entries until the queue is stopped, with a turn for everybody else after each slice. */
  async *#slowly(): AsyncGenerator<Entry> {
    const slices = new Slices({ msMax: slowlyMsMax });
    for (const entry of this.#entries.values()) {
      if (slices.isOver) await slices.next();
      if (this.#stop.signal.aborted) return;
      yield entry;
    }
  }

  /** In order of their coming. */
  entries(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  find(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  /**
   * Changes a message as a person says: at once, or when what is under way has ended. Resolves when that is on
   * disk; at once where there is no such message, or the queue has stopped: what was in it may be another relay's.
   */
  async order(id: string, apply: Order["apply"]): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined || this.#stop.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    entry.orders ??= [];
    entry.orders.push({ apply, done: resolve });
    if (entry.underWay === 0) void this.#conclude(entry);
    await promise;
  }

  get size(): number {
    return this.#entries.size;
  }

  get active(): number {
    return this.#lanes.active + this.#suspects.active;
  }

  get hasStopped(): boolean {
    return this.#stop.signal.aborted;
  }

  get held(): number {
    return this.#held.size;
  }

  /** Arrival of the oldest message, epoch ms; undefined when empty. */
  get oldestMs(): number | undefined {
    return this.#entries.oldestMs;
  }

  /** Starts nothing more, gives what runs `graceMs`, then cuts it off: all of it is on disk. */
  async stop(options: { readonly graceMs: number }): Promise<void> {
    this.#lanes.stop();
    this.#suspects.stop();
    this.#due.stop();
    this.#pace.stop();
    const deadline = this.#options.clock.now() + options.graceMs;
    while ((this.active > 0 || this.#saver.waiting > 0) && this.#options.clock.now() < deadline) {
      await new Promise<void>((resolve) => this.#options.clock.wait(20, resolve));
    }
    this.#stop.abort();
    const waiting = [...this.#lanes.takeWaiting(), ...this.#suspects.takeWaiting()];
    await Promise.all(waiting.map(async ({ entry }) => await this.#settle(entry, [])));
  }

  #schedule(entry: Entry): void {
    const { id } = entry.envelope;
    if (entry.held !== undefined) {
      this.#held.add(id);
      return;
    }
    this.#held.delete(id);
    const moment = momentOf(this.#options);
    const earliest = dueAtMs(entry, moment);
    if (earliest <= moment.nowMs) this.#attempt(id);
    else if (earliest < Number.POSITIVE_INFINITY) this.#due.set(id, earliest);
  }

  #attempt(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.held !== undefined || this.#stop.signal.aborted) return;
    entry.paced = undefined; // they ask for their turn again, below or when what is under way has ended
    if (entry.underWay > 0) return;
    const table = this.#options.tables.current;
    if (table === undefined) return; // not before the first table: subscribe wakes us
    const { outbound, postmaster } = this.#options;
    const rules = { table, outbound, postmaster };
    const moment = momentOf(this.#options);
    const settled: Settled[] = [];
    const sends: Planned[] = [];
    for (const index of entry.pending.keys()) {
      if (dueOf(entry, index, moment) > moment.nowMs + togetherMs) continue;
      const way = wayOf(entry, index, rules);
      entry.routes[index] = way.route;
      if (way.kind === "settled") settled.push({ index, outcome: way.outcome });
      else sends.push({ index, domain: way.domain, route: way.route });
    }
    const groups = planTransactions(sends);
    entry.table = table;
    entry.underWay = groups.length + 1;
    const lanes = entry.deaths > 0 ? this.#suspects : this.#lanes;
    for (const group of groups) {
      if (entry.isUrgent) lanes.rouse(group.key);
      lanes.add(group.key, partyOf(entry.envelope), { entry, group });
    }
    entry.isUrgent = false;
    void this.#settle(entry, settled);
  }

  /** Runs when the lane has room: what counts is the table of that moment, not that of the queueing. */
  async #send({ entry, group }: Item, patience: AbortSignal | undefined): Promise<Met> {
    // Whoever has ordered something else while it stood in line is obeyed first.
    const isOrdered = entry.orders !== undefined;
    const relays = this.#options.tables.current?.relays ?? 1;
    const isPaced = !isOrdered && !this.#pace.admits(group.route, relays, entry.envelope.id);
    if (isPaced) pace(entry, group.recipients);
    if (isOrdered || isPaced || !this.#isWanted(entry)) {
      void this.#settle(entry, []);
      return "nothing";
    }
    const mark = this.#options.deliveries.begin(entry.envelope.id);
    try {
      return await this.#deliver({ entry, group }, { patience, phase: mark.phase });
    } finally {
      mark.ended();
    }
  }

  async #deliver(
    { entry, group }: Item,
    more: Pick<JobOptions, "patience" | "phase">,
  ): Promise<Met> {
    const { recipients } = group;
    const body = await this.#bodies.of(entry);
    if ("kind" in body) {
      const unread = settledOf(recipients, () => body);
      void this.#settle(entry, unread);
      return "nothing";
    }
    const job = jobFor(entry, group, {
      body,
      table: this.#options.tables.current ?? entry.table,
      isWanted: () => this.#isWanted(entry),
      ...more,
    });
    const startedMs = this.#options.clock.now();
    const outcomes = await this.#options.delivery.deliver(job, this.#stop.signal);
    const tookMs = this.#options.clock.now() - startedMs;
    const settled = settledOf(recipients, (place) => outcomes[place]);
    const met = metBy(outcomes, group.route.retry);
    if (typeof met === "object") this.#parked.add(group.key, entry);
    else if (met === "alive") void this.#revive(group.key);
    // Whatever the process died of, it was not this, unless it had too little time to show it.
    if (more.patience?.aborted !== true) entry.deaths = 0;
    void this.#settle(entry, settled, tookMs);
    return met;
  }

  /** Another has found nobody at its destination: so has this one, without its having been asked again. */
  async #spare({ entry, group }: Item, outcome: Outcome): Promise<void> {
    const isOrdered = entry.orders !== undefined;
    if (!isOrdered) this.#parked.add(group.key, entry);
    const settled = group.recipients.map((index) => ({ index, outcome, isSpared: true }));
    await this.#settle(entry, isOrdered ? [] : settled);
  }

  /** What waits for a destination goes when it is there again. */
  async #revive(key: string): Promise<void> {
    const ids = this.#parked.take(key);
    if (ids === undefined) return;
    const slices = new Slices({ msMax: slowlyMsMax });
    for (const id of ids) {
      if (slices.isOver) await slices.next();
      if (this.#stop.signal.aborted) return;
      const entry = this.#entries.get(id);
      if (entry === undefined) continue;
      entry.parkedUnder = entry.parkedUnder.filter((each) => each !== key);
      this.#wake(entry, (index) => laneOf(entry, index) === key);
    }
  }

  /** No reload since the round began has changed where this message goes. */
  #isWanted(entry: Entry): boolean {
    const table = this.#options.tables.current;
    return table === undefined || table === entry.table || !this.#changed(entry, table);
  }

  /** One of the transactions of a round has ended, or what needed none is known. */
  async #settle(entry: Entry, settled: readonly Settled[], tookMs = 0): Promise<void> {
    this.#settlement.learn(entry, settled, tookMs);
    entry.underWay -= 1;
    if (entry.underWay === 0) await this.#conclude(entry);
    else if (entry.round?.isDirty === true) this.#settlement.saveSoon(entry);
  }

  /** The end of a round: its reports and what they are about are one commit; then the entry is let go. */
  async #conclude(entry: Entry): Promise<void> {
    entry.underWay = 1; // not due again before this is on disk
    if (entry.round !== undefined) await entry.round.saved; // spared mail has none: it ends in this turn
    for (let carriedOut: Order[] = []; ; ) {
      if (entry.round?.isDirty === true) await this.#save(entry);
      entry.round = undefined;
      for (const { done } of carriedOut) done();
      if (entry.orders === undefined) break;
      carriedOut = entry.orders;
      entry.orders = undefined;
      for (const { apply } of carriedOut) apply(entry);
      roundOf(entry).isDirty = true;
      entry.isUrgent = true;
    }
    entry.underWay = 0;
    if (isFinished(entry)) {
      this.#forget(entry);
      return;
    }
    this.#bodies.drop(entry);
    this.#due.delete(entry.envelope.id);
    if (entry.held === undefined) this.#held.delete(entry.envelope.id);
    // A reload that came while this was under way counts for it too.
    const table = this.#options.tables.current;
    const isNew = entry.held === undefined && table !== undefined && table !== entry.table;
    if (isNew && this.#changed(entry, table)) this.#wakeAll(entry);
    else this.#schedule(entry);
  }

  async #save(entry: Entry): Promise<void> {
    for (const { envelope, body } of await this.#settlement.save(entry)) {
      this.#options.events.reported(envelope, entry.envelope.id);
      this.add(envelope, body);
    }
  }

  #forget(entry: Entry): void {
    this.#bodies.drop(entry);
    this.#parked.forget(entry);
    this.#entries.delete(entry.envelope.id);
    this.#due.delete(entry.envelope.id);
    this.#held.delete(entry.envelope.id);
  }

  /** After a reload: whoever would now go another way than at his last attempt is tried at once. */
  async #wakeChanged(): Promise<void> {
    const table = this.#options.tables.current;
    if (table === undefined) return;
    for await (const entry of this.#slowly()) {
      if (this.#options.tables.current !== table) return;
      if (entry.underWay === 0 && entry.held === undefined && this.#changed(entry, table))
        this.#wakeAll(entry);
    }
  }

  #changed(entry: Entry, table: NonNullable<TableHolder["current"]>): boolean {
    const { outbound, postmaster } = this.#options;
    const rules = { table, outbound, postmaster };
    return entry.pending.some((pending, index) => {
      if (pending === null) return false;
      const { route } = wayOf(entry, index, rules);
      return !isSameRoute(route, entry.routes[index]);
    });
  }

  #wakeAll(entry: Entry): void {
    entry.isUrgent = true;
    this.#wake(entry, () => true);
  }

  /** Makes those recipients due, at once or when what is under way has ended. */
  #wake(entry: Entry, isMeant: (index: number) => boolean): void {
    const nowMs = this.#options.clock.now();
    for (const [index, pending] of entry.pending.entries()) {
      if (pending !== null && isMeant(index)) entry.pending[index] = { ...pending, dueAtMs: nowMs };
    }
    if (entry.underWay > 0 || entry.held !== undefined) return;
    this.#due.delete(entry.envelope.id);
    this.#attempt(entry.envelope.id);
  }
}
