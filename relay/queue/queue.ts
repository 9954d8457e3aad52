/**
 * The queue: every message that is spooled and not finished, when it is due, and what happens to each
 * recipient after an attempt. Loop: it decides nothing itself (redecide, nextStep and planTransactions do)
 * and knows no SMTP. What an attempt changed is on disk before the entry is let go.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Route } from "../../routing/route.ts";
import { type Group, planTransactions } from "../delivery/plan.ts";
import { isWanted } from "../dsn-request.ts";
import type { Outcome } from "../outcome.ts";
import { type Envelope, freshState, type Pending, type StoredRecipient } from "../spool/records.ts";
import type { Change, Stored } from "../spool/spool.ts";
import type { TableHolder } from "../table/holder.ts";
import { Bodies } from "./bodies.ts";
import { arrivalOf, isConfirmed } from "./confirmation.ts";
import { DueTimes } from "./due.ts";
import { Entries } from "./entries.ts";
import {
  admitted,
  type Entry,
  freshEntry,
  freshRound,
  isFinished,
  isSameRoute,
  metBy,
  type Order,
  partyOf,
  stateOf,
} from "./entry.ts";
import { jobFor } from "./job.ts";
import { Lanes, type Met } from "./lanes.ts";
import type { QueueOptions } from "./options.ts";
import { Pace } from "./pace.ts";
import { redecide } from "./redecide.ts";
import { type Report, reportsOf } from "./reports.ts";
import { Saver } from "./saver.ts";
import { nextStep } from "./schedule.ts";
import { toldOf } from "./told.ts";

type Settled = { readonly index: number; readonly outcome: Outcome };

const entriesPerSlice = 500;
const suspectsMax = 16;
/** How early recipients of one message may be tried together with one that is due. */
const togetherMs = 1000;

export class Queue {
  readonly #options: QueueOptions;
  readonly #entries = new Entries();
  readonly #held = new Set<string>();
  readonly #due: DueTimes;
  readonly #lanes: Lanes;
  /**
   * For messages at which the process has died before: one at a time for each destination and few in all, so that the
   * next death tells more, and a silent host holds up nobody else's.
   */
  readonly #suspects = new Lanes({ activeMax: suspectsMax, activePerLaneMax: 1 });
  readonly #pace: Pace;
  readonly #stop = new AbortController();
  readonly #bodies: Bodies;
  readonly #saver: Saver;

  constructor(options: QueueOptions) {
    this.#options = options;
    const { spool, clock, events } = options;
    this.#bodies = new Bodies({
      spool,
      bytesMax: options.limits.bodyBytesInMemoryMax,
      corrupt: events.corrupt,
    });
    this.#saver = new Saver({ spool, clock, signal: this.#stop.signal, failed: events.unsaved });
    this.#due = new DueTimes(options.clock, (id) => this.#attempt(id));
    this.#pace = new Pace(options.clock, (id) => this.#attempt(id));
    this.#lanes = new Lanes({
      activeMax: options.limits.activeMax,
      activePerLaneMax: options.limits.activePerDestinationMax,
    });
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
    for await (const entry of this.#slowly()) if (entry.underWay === 0) this.#schedule(entry);
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
    let looked = 0;
    for (const entry of this.#entries.values()) {
      looked += 1;
      if (looked % entriesPerSlice === 0) await turn();
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
   * disk; at once where there is no such message.
   */
  async order(id: string, apply: Order["apply"]): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
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

  /** Messages that are held. */
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
  }

  #schedule(entry: Entry): void {
    const { id } = entry.envelope;
    if (entry.held !== undefined) {
      this.#held.add(id);
      return;
    }
    this.#held.delete(id);
    let earliest = Number.POSITIVE_INFINITY;
    for (const [index, pending] of entry.pending.entries()) {
      if (pending === null || entry.paced.has(index)) continue;
      if (pending.dueAtMs < earliest) earliest = pending.dueAtMs;
    }
    if (earliest <= this.#options.clock.now()) this.#attempt(id);
    else if (earliest < Number.POSITIVE_INFINITY) this.#due.set(id, earliest);
  }

  #attempt(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.held !== undefined || this.#stop.signal.aborted) return;
    entry.paced.clear(); // they ask for their turn again, below or when what is under way has ended
    if (entry.underWay > 0) return;
    const table = this.#options.tables.current;
    if (table === undefined) return; // not before the first table: subscribe wakes us
    const dueBefore = this.#options.clock.now() + togetherMs;
    const settled: Settled[] = [];
    const sends: { index: number; address: string; domain: string; route: Route }[] = [];
    const { envelope } = entry;
    for (const [index, pending] of entry.pending.entries()) {
      if (pending === null || pending.dueAtMs > dueBefore) continue;
      const recipient = admitted(entry, index);
      const { outbound, postmaster } = this.#options;
      const way = redecide({ ...table, envelope, recipient, outbound, postmaster });
      entry.routes[index] = way.route;
      if (way.kind === "settled") settled.push({ index, outcome: way.outcome });
      else sends.push({ index, address: recipient.address, domain: way.domain, route: way.route });
    }
    const groups = planTransactions(sends);
    entry.table = table;
    entry.underWay = groups.length + 1;
    const lanes = entry.deaths > 0 ? this.#suspects : this.#lanes;
    for (const group of groups) {
      lanes.add(group.key, partyOf(envelope), async () => await this.#send(entry, group));
    }
    this.#settle(entry, settled);
  }

  /** Asked when the lane has room, so that what starts is what counts. */
  #mayGo({ envelope }: Entry, { route }: Group): boolean {
    const max = route.delivery.maxMessagesPerSecond;
    if (max === undefined) return true;
    const perSecond = max / (this.#options.tables.current?.relays ?? 1);
    return this.#pace.mayGo({ route: route.id, perSecond, id: envelope.id });
  }

  /** Runs when the lane has room: what counts is the table of that moment, not that of the queueing. */
  async #send(entry: Entry, group: Group): Promise<Met> {
    // Whoever has ordered something else while it stood in line is obeyed first.
    const isOrdered = entry.orders.length > 0;
    const isPaced = !isOrdered && !this.#mayGo(entry, group);
    if (isPaced) for (const { index } of group.recipients) entry.paced.add(index);
    if (isOrdered || isPaced || !this.#isWanted(entry)) {
      this.#settle(entry, []);
      return "nothing";
    }
    const ended = this.#options.deliveries.begin(entry.envelope.id);
    try {
      return await this.#deliver(entry, group);
    } finally {
      ended();
    }
  }

  async #deliver(entry: Entry, group: Group): Promise<Met> {
    const { recipients } = group;
    const body = await this.#bodies.of(entry);
    if ("kind" in body) {
      this.#settle(
        entry,
        recipients.map(({ index }) => ({ index, outcome: body })),
      );
      return "nothing";
    }
    const job = jobFor(entry, group, {
      body,
      table: this.#options.tables.current ?? entry.table,
      isWanted: () => this.#isWanted(entry),
    });
    const startedMs = this.#options.clock.now();
    const outcomes = await this.#options.delivery.deliver(job, this.#stop.signal);
    const tookMs = this.#options.clock.now() - startedMs;
    const settled: Settled[] = [];
    for (const [place, { index }] of recipients.entries()) {
      const outcome = outcomes[place];
      if (outcome !== undefined) settled.push({ index, outcome });
    }
    entry.deaths = 0; // whatever the process died of, it was not this
    this.#settle(entry, settled, tookMs);
    return metBy(outcomes);
  }

  /** No reload since the round began has changed where this message goes. */
  #isWanted(entry: Entry): boolean {
    const table = this.#options.tables.current;
    return table === undefined || table === entry.table || !this.#changed(entry, table);
  }

  /** One of the transactions of a round has ended, or what needed none is known. */
  #settle(entry: Entry, settled: readonly Settled[], tookMs = 0): void {
    for (const each of settled) this.#learn(entry, each, tookMs);
    if (settled.length > 0) entry.round.isDirty = true;
    entry.underWay -= 1;
    if (entry.underWay === 0) void this.#conclude(entry);
    else if (settled.length > 0) this.#saveSoon(entry);
  }

  #learn(entry: Entry, { index, outcome }: Settled, tookMs: number): void {
    const { events, clock } = this.#options;
    const { envelope, round } = entry;
    const recipient = envelope.recipients[index] as StoredRecipient;
    const pending = entry.pending[index] as Pending;
    const nowMs = clock.now();
    const { retry } = entry.routes[index] ?? this.#options.outbound;
    const mayWarn =
      envelope.trusted && envelope.sender !== "" && isWanted(recipient, "DELAY", "told");
    const jitter = this.#options.random();
    const step = nextStep({ recipient, pending, outcome, retry, nowMs, jitter, mayWarn });
    const route = entry.routes[index]?.id ?? "";
    const attempt = pending.attempts + 1;
    events.attempted({ envelope, recipient, route, outcome, step, attempt, ms: tookMs, nowMs });
    const told: Report = { recipient, ...toldOf(outcome) };
    // What is reported is not finished before its report is written, in the same commit.
    if (step.kind === "finished") {
      if (isConfirmed(envelope, recipient, outcome))
        round.ended.push({ index, action: arrivalOf(outcome), report: told });
      else entry.pending[index] = null;
    } else if (step.kind === "retry") {
      entry.pending[index] = step.pending;
      if (step.warn) round.delayed.push(told);
    } else if (isWanted(recipient, "FAILURE", "told")) {
      round.ended.push({ index, action: "failed", report: { ...told, reply: step.reply } });
    } else entry.pending[index] = null;
  }

  /** Writes what is known before the round's end; of several that wait, one writes for all. */
  #saveSoon(entry: Entry): void {
    const { round } = entry;
    if (round.isSaveWaiting) return;
    round.isSaveWaiting = true;
    round.saved = round.saved.then(async () => {
      round.isSaveWaiting = false;
      if (entry.underWay > 0) await this.#saver.save([stateOf(entry)]);
    });
  }

  /** The end of a round: its reports and what they are about are one commit; then the entry is let go. */
  async #conclude(entry: Entry): Promise<void> {
    entry.underWay = 1; // not due again before this is on disk
    const { round, orders } = entry;
    await round.saved;
    for (let carriedOut: Order[] = []; ; ) {
      if (round.isDirty) await this.#save(entry);
      Object.assign(round, freshRound());
      for (const { done } of carriedOut) done();
      if (orders.length === 0) break;
      carriedOut = orders.splice(0);
      for (const { apply } of carriedOut) apply(entry);
      round.isDirty = true;
    }
    entry.underWay = 0;
    if (isFinished(entry)) {
      this.#forget(entry);
      return;
    }
    this.#bodies.drop(entry);
    this.#due.delete(entry.envelope.id);
    const table = this.#options.tables.current;
    // A reload that came while this was under way counts for it too.
    if (entry.held === undefined) this.#held.delete(entry.envelope.id);
    const isNew = entry.held === undefined && table !== undefined && table !== entry.table;
    if (isNew && this.#changed(entry, table)) this.#wake(entry);
    else this.#schedule(entry);
  }

  /** A recipient's end and the report that it causes are one transaction on disk (design, section 5). */
  async #save(entry: Entry): Promise<void> {
    const { envelope, round } = entry;
    const { reporter, tables, events } = this.#options;
    const hasReports = round.ended.length + round.delayed.length > 0;
    const body = hasReports ? await this.#bodies.forReport(entry) : undefined;
    const original = { envelope, body };
    const reports = reportsOf(round, (action, list) =>
      reporter.report(action, original, list, tables.current),
    );
    for (const { index } of round.ended) entry.pending[index] = null;
    const own: Change = isFinished(entry) ? { kind: "remove", envelope } : stateOf(entry);
    await this.#saver.save([own, ...reports.map((each): Change => ({ kind: "accept", ...each }))]);
    for (const { envelope: reported, body } of reports) {
      events.reported(reported, envelope.id);
      this.add(reported, body);
    }
  }

  #forget(entry: Entry): void {
    this.#bodies.drop(entry);
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
        this.#wake(entry);
    }
  }

  #changed(entry: Entry, table: NonNullable<TableHolder["current"]>): boolean {
    const { envelope } = entry;
    const { outbound, postmaster } = this.#options;
    return entry.pending.some((pending, index) => {
      if (pending === null) return false;
      const recipient = admitted(entry, index);
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
