/**
 * What attempts have brought the recipients of a message, and how it gets to disk: a recipient's end and the report
 * that it causes are one commit. Loop: it orders a message's writes; what is attempted when is queue.ts's matter.
 */
import type { Route } from "../../routing/route.ts";
import { isWanted } from "../dsn-request.ts";
import type { Outcome } from "../outcome.ts";
import type { Change } from "../spool/changes.ts";
import type { Pending, StoredRecipient } from "../spool/records.ts";
import type { TableHolder } from "../table/holder.ts";
import type { Bodies } from "./bodies.ts";
import { arrivalOf, isConfirmed } from "./confirmation.ts";
import type { Clock } from "./due.ts";
import { type Entry, isFinished, roundOf, stateOf } from "./entry.ts";
import type { QueueEvents } from "./events.ts";
import { type Message, neededBytes, type Report, type Reporter, reportsOf } from "./reports.ts";
import type { Saver } from "./saver.ts";
import { nextStep, type Step } from "./schedule.ts";
import { toldOf } from "./told.ts";

export type Settled = {
  readonly index: number;
  readonly outcome: Outcome;
  /** It was not tried itself. */
  readonly isSpared?: boolean;
};

/** What became of the recipients at `places` in the message. */
export function settledOf(
  places: readonly number[],
  outcomeOf: (at: number) => Outcome | undefined,
): readonly Settled[] {
  return places.flatMap((index, at) => {
    const outcome = outcomeOf(at);
    return outcome === undefined ? [] : [{ index, outcome }];
  });
}

export type SettlementOptions = {
  readonly saver: Saver;
  readonly bodies: Bodies;
  readonly reporter: Reporter;
  readonly tables: TableHolder;
  readonly events: QueueEvents;
  readonly clock: Clock;
  readonly random: () => number;
  readonly outbound: Route;
};

export class Settlement {
  readonly #options: SettlementOptions;

  constructor(options: SettlementOptions) {
    this.#options = options;
  }

  /** In memory; `saveSoon` or `save` has written what must be. */
  learn(entry: Entry, settled: readonly Settled[], tookMs: number): void {
    for (const each of settled) {
      const step = this.#learn(entry, each, tookMs);
      // Who was spared begins where he is, should the process end: nothing that counts has happened to him.
      const isNews = each.isSpared !== true || step.kind !== "retry" || step.warn;
      if (isNews) roundOf(entry).isDirty = true;
    }
  }

  #learn(entry: Entry, { index, outcome, isSpared = false }: Settled, tookMs: number): Step {
    const { events, clock, random, outbound } = this.#options;
    const { envelope } = entry;
    const recipient = envelope.recipients[index] as StoredRecipient;
    const pending = entry.pending[index] as Pending;
    const nowMs = clock.now();
    const { retry } = entry.routes[index] ?? outbound;
    const mayWarn =
      envelope.trusted && envelope.sender !== "" && isWanted(recipient, "DELAY", "told");
    const jitter = random();
    const step = nextStep({
      ...{ recipient, pending, outcome, retry, nowMs, jitter, mayWarn, isSpared },
    });
    const route = entry.routes[index]?.id ?? "";
    const attempt = pending.attempts + (isSpared ? 0 : 1);
    events.attempted({ envelope, recipient, route, outcome, step, attempt, ms: tookMs, nowMs });
    const told: Report = { recipient, ...toldOf(outcome) };
    // What is reported is not finished before its report is written, in the same commit.
    if (step.kind === "finished") {
      if (isConfirmed(envelope, recipient, outcome))
        roundOf(entry).ended.push({ index, action: arrivalOf(outcome), report: told });
      else entry.pending[index] = null;
    } else if (step.kind === "retry") {
      entry.pending[index] = step.pending;
      if (step.warn) roundOf(entry).delayed.push(told);
    } else if (isWanted(recipient, "FAILURE", "told")) {
      const report = { ...told, reply: step.reply };
      roundOf(entry).ended.push({ index, action: "failed", report });
    } else entry.pending[index] = null;
    return step;
  }

  /** Writes what is known before the round's end; of several that wait, one writes for all. */
  saveSoon(entry: Entry): void {
    const round = roundOf(entry);
    if (round.isSaveWaiting) return;
    round.isSaveWaiting = true;
    round.saved = round.saved.then(async () => {
      round.isSaveWaiting = false;
      if (entry.underWay > 0) await this.#options.saver.save([stateOf(entry)]);
    });
  }

  /** Writes what a round has brought, as one commit; resolves with the reports in it. */
  async save(entry: Entry): Promise<readonly Message[]> {
    const { envelope } = entry;
    const round = roundOf(entry);
    const { reporter, tables, bodies, saver } = this.#options;
    const bytes = neededBytes(round, envelope);
    const body = bytes > 0 ? await bodies.head(entry, bytes) : undefined;
    const original = { envelope, body };
    const reports = reportsOf(round, (action, list) =>
      reporter.report(action, original, list, tables.current),
    );
    for (const { index } of round.ended) entry.pending[index] = null;
    const own: Change = isFinished(entry) ? { kind: "remove", envelope } : stateOf(entry);
    await saver.save([own, ...reports.map((each): Change => ({ kind: "accept", ...each }))]);
    return reports;
  }
}
