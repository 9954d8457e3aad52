/**
 * The queue: every message that is spooled and not finished, when it is due, and what happens to each
 * recipient after an attempt. Loop: it decides nothing itself (redecide, nextStep and planTransactions do)
 * and knows no SMTP. What an attempt changed is on disk before the entry is let go.
 */
import { setImmediate as turn } from "node:timers/promises";
import type { Retry, Route } from "../../routing/route.ts";
import type { Delivery, Job } from "../delivery/delivery.ts";
import type { DsnAction } from "../delivery/dsn.ts";
import { type Group, planTransactions } from "../delivery/plan.ts";
import { isWanted } from "../dsn-request.ts";
import type { Outcome } from "../outcome.ts";
import { type Envelope, freshState, type Pending, type StoredRecipient } from "../spool/records.ts";
import type { Change, Spool } from "../spool/spool.ts";
import type { TableHolder } from "../table/holder.ts";
import { arrivalOf, dsnOf, isConfirmed } from "./confirmation.ts";
import { type Clock, DueTimes } from "./due.ts";
import { type Entry, freshRound, isSameRoute, metBy, stateOf } from "./entry.ts";
import type { QueueEvents } from "./events.ts";
import { Lanes, type Met } from "./lanes.ts";
import { Pace } from "./pace.ts";
import { redecide } from "./redecide.ts";
import type { Message, Report, Reporter } from "./reports.ts";
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
    const round = freshRound();
    const entry: Entry = {
      envelope,
      pending,
      routes,
      body,
      round,
      paced: new Set(),
      underWay: 0,
      table: undefined,
    };
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
    entry.table = table;
    entry.underWay = groups.length + 1;
    for (const group of groups) {
      this.#lanes.add(group.key, async () => await this.#send(entry, group));
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
    const isPaced = !this.#mayGo(entry, group);
    if (isPaced) for (const { index } of group.recipients) entry.paced.add(index);
    if (isPaced || !this.#isWanted(entry)) {
      this.#settle(entry, []);
      return "nothing";
    }
    const { envelope } = entry;
    const { recipients, route, domain } = group;
    const body = entry.body ?? this.#options.spool.body(envelope);
    if (body === undefined) {
      this.#options.events.corrupt(envelope.id);
      const reply = { code: 451, status: "4.3.0", text: "the message is damaged on disk" };
      const outcome: Outcome = { kind: "deferred", cause: "local", reply };
      this.#settle(
        entry,
        recipients.map(({ index }) => ({ index, outcome })),
      );
      return "nothing";
    }
    const { id, sender, eightBit, smtputf8 } = envelope;
    const addresses = recipients.map(({ address }) => address);
    const isWanted = (): boolean => this.#isWanted(entry);
    const job: Job = {
      id,
      sender,
      recipients: addresses,
      body,
      eightBit,
      smtputf8,
      dsn: dsnOf(envelope),
      route,
      domain,
      isWanted,
    };
    const startedMs = this.#options.clock.now();
    const outcomes = await this.#options.delivery.deliver(job, this.#stop.signal);
    const tookMs = this.#options.clock.now() - startedMs;
    const settled: Settled[] = [];
    for (const [place, { index }] of recipients.entries()) {
      const outcome = outcomes[place];
      if (outcome !== undefined) settled.push({ index, outcome });
    }
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
    const retry = this.#retryOf(entry.routes[index]);
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
        round.ended.push({ index, action: arrivalOf(entry.routes[index]), report: told });
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
      if (entry.underWay > 0) await this.#commit([stateOf(entry)]);
    });
  }

  /** The end of a round: its reports and what they are about are one commit; then the entry is let go. */
  async #conclude(entry: Entry): Promise<void> {
    entry.underWay = 1; // not due again before this is on disk
    const { round } = entry;
    await round.saved;
    if (round.isDirty) await this.#save(entry);
    Object.assign(round, freshRound());
    entry.underWay = 0;
    if (entry.pending.every((pending) => pending === null)) {
      this.#forget(entry);
      return;
    }
    this.#dropBody(entry);
    const table = this.#options.tables.current;
    // A reload that came while this was under way counts for it too.
    if (table !== undefined && table !== entry.table && this.#changed(entry, table))
      this.#wake(entry);
    else this.#schedule(entry);
  }

  #retryOf(route: Route | undefined): Retry {
    return (route ?? this.#options.outbound).retry;
  }

  /** A recipient's end and the report that it causes are one transaction on disk (design, section 5). */
  async #save(entry: Entry): Promise<void> {
    const { envelope, round } = entry;
    const { reporter, spool, tables, events } = this.#options;
    const original = { envelope, body: () => entry.body ?? spool.body(envelope) };
    const report = (action: DsnAction, list: readonly Report[]): Message[] => {
      const made =
        list.length === 0 ? undefined : reporter.report(action, original, list, tables.current);
      return made === undefined ? [] : [made];
    };
    const ended = (action: DsnAction): Message[] => {
      const those = round.ended.filter((each) => each.action === action);
      return report(
        action,
        those.map((each) => each.report),
      );
    };
    const reports = [
      ...ended("failed"),
      ...report("delayed", round.delayed),
      ...ended("relayed"),
      ...ended("delivered"),
    ];
    for (const { index } of round.ended) entry.pending[index] = null;
    const isFinished = entry.pending.every((pending) => pending === null);
    const own: Change = isFinished ? { kind: "remove", envelope } : stateOf(entry);
    await this.#commit([own, ...reports.map((each): Change => ({ kind: "accept", ...each }))]);
    for (const { envelope: reported, body } of reports) {
      events.reported(reported, envelope.id);
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
