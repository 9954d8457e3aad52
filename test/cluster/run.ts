/**
 * The skeleton run's memory: one steady load, a route that is moved to and fro beneath it, and what all of it must
 * have come to. Loop over pods.ts; the books themselves are pure (books.ts, ledger/reckoning.ts).
 */
import assert from "node:assert/strict";
import { type Reckoning, type Rule, reckon } from "../ledger/reckoning.ts";
import { eventually } from "../ledger/relay-process.ts";
import { laggards, type Move, strays } from "./books.ts";
import { type HopName, hopHost, type Load, type Pods, specTo } from "./pods.ts";
import type { Release } from "./release.ts";
import type { Sighted } from "./sightings.ts";

const messagesPerSecond = 60;
/** How long after a change the rule before may still be followed; what is stricter, strays() knows. */
const slackMs = 60_000;
const moving = "moving.test";
export const locked = "locked.wide.test";
const wide = "wide.test";
/** Half of them to each host, so that the table has keys enough for the guard's share. */
const fixed = Array.from({ length: 16 }, (_, index) => `fixed-${index}.test`);
const fixedHop = (index: number): HopName => (index % 2 === 0 ? "one" : "two");

/** Every other message is for the domain that moves. */
const domains = [locked, wide, ...fixed].flatMap((domain) => [moving, domain]);

export class Run {
  /** What relays that were killed had unfinished: so many may arrive twice. */
  inFlight = 0;
  readonly moves: Move[] = [];
  readonly #pods: Pods;
  readonly #release: Release;
  readonly #rules: Rule[] = [
    { domain: locked, host: "login", fromMs: 0 },
    { domain: wide, host: "two", fromMs: 0 },
    ...fixed.map((domain, index) => ({ domain, host: fixedHop(index), fromMs: 0 })),
  ];
  #load: Load | undefined;

  constructor(pods: Pods, release: Release) {
    this.#pods = pods;
    this.#release = release;
  }

  get load(): Load {
    if (this.#load === undefined) throw new Error("the load has not begun");
    return this.#load;
  }

  /** Routes, and mail for all of them. The locked domain's route must be there. */
  async begin(): Promise<void> {
    await this.#pods.route("wide", specTo("two", wide));
    const routes = fixed.map((domain, index) => ({
      apiVersion: "mailroute.dev/v1alpha1",
      kind: "MailRoute",
      metadata: { name: `fixed-${index}`, namespace: this.#release.namespace },
      spec: specTo(fixedHop(index), domain),
    }));
    await this.#pods.routes(...routes);
    await this.move("one");
    await this.allReady();
    const host = this.#release.host;
    this.#load = await this.#pods.load({ name: "load", host, messagesPerSecond, domains });
  }

  /** Every route of the run is in force on every ready relay. */
  async allReady(): Promise<void> {
    const names = ["moving", "locked", "wide", ...fixed.map((_, index) => `fixed-${index}`)];
    const isTrue = { type: "Ready", says: /^True/ };
    for (const name of names) await this.#pods.until(name, isTrue);
  }

  /** Gives the moving domain's route that host, and waits until it is Programmed. */
  async move(to: HopName): Promise<Move> {
    const appliedMs = Date.now();
    this.#rules.push({ domain: moving, host: to, fromMs: appliedMs });
    const storedMs = await this.#pods.route("moving", specTo(to, moving));
    const programmedMs = await this.#pods.until("moving", { type: "Programmed", says: /^True/ });
    const table = this.tables().length - 1;
    const move = { domain: moving, to, appliedMs, storedMs, programmedMs, table };
    this.moves.push(move);
    return move;
  }

  /** To where it is not now. */
  async moveOn(): Promise<Move> {
    return await this.move(this.moves.at(-1)?.to === "one" ? "two" : "one");
  }

  tables(): readonly Sighted<"table">[] {
    const all = this.#pods.sightings.all("table");
    return all.filter(({ installation }) => installation === this.#release.id);
  }

  /** Digest of the table that was published last. */
  standing(): string | undefined {
    return this.tables().at(-1)?.digest;
  }

  answers(): readonly Sighted<"serves">[] {
    const all = this.#pods.sightings.all("serves");
    return all.filter(({ id }) => id.startsWith(`${this.#release.id}-relay-`));
  }

  /** Waits until another table is published, and every relay that is ready has said that it serves it. */
  async served(options: { readonly after: string | undefined }): Promise<void> {
    const { sightings } = this.#pods;
    const relays = sightings
      .all("relay")
      .map(({ id }) => id)
      .filter((id) => id.startsWith(`${this.#release.id}-relay-`));
    const isServed = (): true | undefined => {
      const digest = this.standing();
      const answers = this.answers();
      const ready = [...new Set(relays)].filter((id) => sightings.relay(id)?.ready);
      const all = ready.every(
        (id) => answers.findLast((each) => each.id === id)?.digest === digest,
      );
      return all && ready.length > 0 && digest !== options.after ? true : undefined;
    };
    const what = (): string => `all relays serve ${this.standing()}`;
    await sightings.until(isServed, { msMax: 60_000, what });
  }

  /** Nothing that must never be, up to now; and everything answered 250 has arrived, where it settles in time. */
  async check(options: { readonly settleMs: number }): Promise<Reckoning> {
    const entries = await this.load.entries();
    let reckoning = await this.#reckon(entries);
    const isSettled = async (): Promise<boolean> => {
      reckoning = await this.#reckon(entries);
      return reckoning.missing === 0;
    };
    const limit = { msMax: options.settleMs, what: "all has arrived", everyMs: 1000 };
    await eventually(isSettled, limit).catch(() => {});
    assert.deepEqual(reckoning.missingNumbers, [], "answered 250, and nowhere");
    assert.deepEqual(reckoning.wrongArrivals, [], "at a host that no rule named");
    const { duplicates } = reckoning;
    assert.ok(duplicates <= this.inFlight, `${duplicates} twice, ${this.inFlight} in flight`);
    const found = strays(this.moves, entries, await this.#pods.arrivals(entries));
    assert.deepEqual(found, [], "at the old host, and sent when the new one was Programmed");
    const answers = this.answers();
    assert.ok(answers.length > 0);
    const behind = laggards(this.moves, this.tables(), answers);
    assert.deepEqual(behind, [], "a ready relay behind what was Programmed");
    return reckoning;
  }

  async #reckon(entries: Awaited<ReturnType<Load["entries"]>>): Promise<Reckoning> {
    const arrivals = await this.#pods.arrivals(entries);
    return reckon({ entries, arrivals, rules: this.#rules, slackMs });
  }
}

/** What the locked domain's route asks: a login over TLS with a checked certificate. */
export const lockedSpec = {
  ...specTo("login", locked),
  tls: { mode: "Verified", caSecretRef: { name: "locked-authority" } },
  auth: { secretRef: { name: "locked-login" } },
};

/** A Secret that may be shown to a next hop that wants a login. */
export function lentSecret(
  name: string,
  stringData: Readonly<Record<string, string>>,
  hop: HopName = "login",
): object {
  const annotations = { "mailroute.dev/hosts": `${hopHost(hop)}:2525` };
  const metadata = { name, namespace: "mail", annotations };
  return { apiVersion: "v1", kind: "Secret", metadata, stringData };
}
