/**
 * Fewer relays and more again, under the ledger: a steady load with one next hop that comes and goes, 3 relays, then 1,
 * then 3. Loop over pods.ts and release.ts; what it must come to is pure (cycle-books.ts, ledger/reckoning.ts). Numbers
 * of relays are Helm values, as people change them.
 */
import { type Reckoning, reckon } from "../ledger/reckoning.ts";
import { eventually } from "../ledger/relay-process.ts";
import { type Repeats, repeatsIn, type Span } from "./cycle-books.ts";
import { type HopName, type Load, type Pods, type Received, specTo } from "./pods.ts";
import type { Release } from "./release.ts";

/**
 * How two of three relays go. `left`: they hand over what they have, and their claims are emptied. `cut`: they are
 * killed before they do, and it is drained. `hurried`: killed, and wanted again while a Job empties their claims.
 */
export const manners = ["left", "cut", "hurried"] as const;
export type Manner = (typeof manners)[number];

/** What happened while one cycle lasted. */
export type Cycle = {
  readonly manner: Manner;
  readonly seconds: number;
  /** Messages that relays have taken over from relays that went. */
  readonly handedOver: number;
  /** And from Jobs. */
  readonly drained: number;
  /** Messages answered 250. */
  readonly accepted: number;
  /** Messages at their next hop, each counted once. */
  readonly delivered: number;
};

export type Total = Reckoning & Repeats;

const messagesPerSecond = 24;
const most = 3;
/** Mail at all relays before some of them go, and mail that waits there. */
const steadyMs = 2000;
const waitingMs = 2000;
const claimMsMax = 120_000;
/** An operator looks for claims that are left over every 15 s. */
const jobMsMax = 20_000;
const settleMsMax = 180_000;
const hops: readonly HopName[] = ["one", "flaky"];
const domainOf = (hop: HopName): string => `${hop}.cycles.test`;
const specOf = (hop: HopName): object => ({
  ...specTo(hop, domainOf(hop)),
  retry: { initial: "1s", max: "4s" },
});

export class Cycles {
  readonly #pods: Pods;
  readonly #release: Release;
  readonly #kills: Span[] = [];
  #load: Load | undefined;
  #accepted = 0;
  #delivered = 0;

  constructor(pods: Pods, release: Release) {
    this.#pods = pods;
    this.#release = release;
  }

  get #running(): Load {
    if (this.#load === undefined) throw new Error("the load has not begun");
    return this.#load;
  }

  /** Three relays, and mail at a steady rate. */
  async begin(): Promise<void> {
    await this.#pods.hop({ name: "flaky", args: ["cluster/pod-sink.ts", "flaky"] });
    for (const hop of hops) await this.#pods.route(`cycles-${hop}`, specOf(hop));
    await this.#release.scaleRelays(most);
    for (const hop of hops)
      await this.#pods.until(`cycles-${hop}`, { type: "Ready", says: /^True/ });
    const { host } = this.#release;
    const domains = hops.map(domainOf);
    this.#load = await this.#pods.load({ name: "cycles", host, messagesPerSecond, domains });
  }

  async turn(manner: Manner): Promise<Cycle> {
    const release = this.#release;
    const startedMs = Date.now();
    await sleep(steadyMs);
    const leaving = new Set([1, 2].map((ordinal) => this.#addressOf(ordinal)));
    await this.#pods.signal("flaky", "USR2"); // so that those who go have something
    await sleep(waitingMs);
    if (manner === "left") await release.scaleRelays(1);
    else await this.#cut();
    if (manner === "hurried") await this.#isDraining();
    else await this.#isDrained();
    await this.#pods.signal("flaky", "HUP");
    await release.scaleRelays(most);
    const from = await release.takenOver(startedMs);
    const handedOver = from.filter((each) => leaving.has(each)).length;
    const { accepted, delivered } = await this.#progress();
    const drained = from.length - handedOver;
    const seconds = (Date.now() - startedMs) / 1000;
    return { manner, seconds, handedOver, drained, accepted, delivered };
  }

  /** Stops the load, and waits for what is on its way. */
  async end(): Promise<Total> {
    const entries = await this.#running.stop();
    const rules = hops.map((hop) => ({ domain: domainOf(hop), host: hop, fromMs: 0 }));
    const look = async (): Promise<Total> => {
      const arrivals = await this.#pods.arrivals(entries);
      const reckoning = reckon({ entries, arrivals, rules, slackMs: 0 });
      return { ...reckoning, ...repeatsIn(arrivals, this.#kills) };
    };
    let total = await look();
    const isSettled = async (): Promise<boolean> => {
      total = await look();
      return total.missing === 0;
    };
    const limit = { msMax: settleMsMax, what: "all has arrived", everyMs: 2000 };
    await eventually(isSettled, limit).catch(() => {}); // what is missing is the answer
    return total;
  }

  #addressOf(ordinal: number): string {
    const { namespace } = this.#release;
    const id = `${namespace}/${this.#release.relay(ordinal)}`;
    return this.#pods.sightings.relay(id)?.address ?? "";
  }

  /** Relays that are killed may have handed a message to its next hop, and not have written that down. */
  async #cut(): Promise<void> {
    const fromMs = Date.now();
    await this.#release.cutRelays(1);
    this.#kills.push({ fromMs, toMs: Date.now() });
  }

  async #isDraining(): Promise<void> {
    const holds = async (): Promise<boolean> => (await this.#release.drains()).length > 0;
    await eventually(holds, { msMax: jobMsMax, what: "a Job drains", everyMs: 100 });
  }

  async #isDrained(): Promise<void> {
    const holds = async (): Promise<boolean> => String(await this.#release.claims()) === "0";
    await eventually(holds, { msMax: claimMsMax, what: "the claims are gone", everyMs: 300 });
  }

  /** Since it was asked last. */
  async #progress(): Promise<{ readonly accepted: number; readonly delivered: number }> {
    const entries = await this.#running.entries();
    const arrivals: readonly Received[] = await this.#pods.arrivals(entries);
    const accepted = entries.filter(({ answered }) => answered).length;
    const delivered = new Set(arrivals.map(({ number }) => number)).size;
    const since = { accepted: accepted - this.#accepted, delivered: delivered - this.#delivered };
    this.#accepted = accepted;
    this.#delivered = delivered;
    return since;
  }
}

/** As a line of the run's. */
export function shownCycle(number: number, cycle: Cycle): string {
  const { manner, seconds, handedOver, drained, accepted, delivered } = cycle;
  return (
    `cycle ${number} (${manner}): ${seconds.toFixed(0)} s, ${handedOver} handed over, ${drained} drained, ` +
    `${accepted} accepted, ${delivered} delivered`
  );
}

export function shownTotal(total: Total): string {
  const { sent, answered, missing, wrongHost, twice, unanswered, killed, unexplained } = total;
  return (
    `${sent} sent, ${answered} answered 250, ${missing} missing, ${wrongHost} at a wrong host, ${twice} twice: ` +
    `${unanswered} left unanswered by the next hop, ${killed} under way at a kill, ${unexplained.length} unexplained`
  );
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
