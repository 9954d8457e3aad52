/**
 * A relay that is ended over and over while it works: rounds of load, each with a fault and an end, after some of
 * which power is lost too; then the books. Loop: it owns the order of things; shim.ts breaks, power-loss.ts
 * takes away, causes.ts explains what came twice.
 */
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../relay/seeded.testkit.ts";
import { mailroute } from "../acceptance/command.ts";
import type { Generator } from "../ledger/generator.ts";
import { type Ledger, openLedger } from "../ledger/ledger.ts";
import type { Arrival, Reckoning } from "../ledger/reckoning.ts";
import { eventually } from "../ledger/relay-process.ts";
import { type Cause, causesOf, type Span } from "./causes.ts";
import { Disk, type Leftover } from "./power-loss.ts";
import { type Fault, prepareShim, type Shim } from "./shim.ts";

export type CrashOptions = {
  /** Of the shim. */
  readonly library: string;
  readonly seed: number;
  /** Rounds that end by kill -9 at a random moment. */
  readonly kills: number;
  /** Rounds with a fault, of each kind. */
  readonly faultRounds: number;
  /** Rounds go on until so many messages were answered 250. */
  readonly answeredMin: number;
  readonly upMsMax: number;
  readonly settleMsMax: number;
  readonly told?: (line: string) => void;
};

export type CrashReport = Pick<
  Reckoning,
  "sent" | "answered" | "missing" | "wrongHost" | "duplicates" | "missingNumbers" | "wrongArrivals"
> & {
  /** Bodies that were not the ones sent. */
  readonly damaged: number;
  /** Messages that a start could not read. */
  readonly corrupt: number;
  readonly ends: number;
  readonly powerLosses: number;
  /** Held at the end because the process died three times at them, and released. */
  readonly released: number;
  readonly causes: Readonly<Record<Cause, number>>;
  readonly faults: Readonly<Record<string, number>>;
};

type Kind = {
  readonly name: string;
  readonly fault: (random: () => number) => Fault | undefined;
  readonly syncDelayMs?: number;
  /** Armed before the relay starts. */
  readonly isAtStart?: true;
};

const nth = (random: () => number, most: number): number => 1 + Math.floor(random() * most);

export const kinds: readonly Kind[] = [
  { name: "the disk is full", fault: () => ({ mode: "full" }) },
  {
    name: "one write does not fit",
    fault: (r) => ({ mode: "full", nth: nth(r, 30), times: 1, calls: "write" }),
  },
  { name: "the disk fails", fault: () => ({ mode: "broken" }) },
  {
    name: "one write fails",
    fault: (r) => ({ mode: "broken", nth: nth(r, 30), times: 1, calls: "write" }),
  },
  {
    name: "one sync fails",
    fault: (r) => ({ mode: "broken", nth: nth(r, 10), times: 1, calls: "sync" }),
  },
  { name: "the volume turns read-only", fault: () => ({ mode: "readOnly" }) },
  { name: "a write is torn", fault: (r) => ({ mode: "torn", nth: nth(r, 60), times: 1 }) },
  {
    name: "the process ends before a call",
    fault: (r) => ({ mode: "before", nth: nth(r, 60), times: 1 }),
  },
  {
    name: "the process ends after a call",
    fault: (r) => ({ mode: "after", nth: nth(r, 60), times: 1 }),
  },
  { name: "syncs are slow", fault: () => undefined, syncDelayMs: 50 },
  {
    name: "the process ends while it starts",
    fault: (r) => ({ mode: "before", nth: nth(r, 20), times: 1 }),
    isAtStart: true,
  },
];

/** Longest time that a fault which does not end the process stays. */
const faultMsMax = 1000;
const bigEveryNth = 50;
const hosts = ["steady", "flaky", "flapping", "reports"];

export async function crashed(options: CrashOptions): Promise<CrashReport> {
  const run = await CrashRun.open(options);
  try {
    return await run.all();
  } finally {
    await run.close();
  }
}

class CrashRun {
  readonly #options: CrashOptions;
  readonly #ledger: Ledger;
  readonly #shim: Shim;
  readonly #random: () => number;
  readonly #dropped: ReadonlySet<Arrival>;
  readonly #generator: Generator;
  readonly #ends: number[] = [];
  readonly #faultSpans: Span[] = [];
  readonly #downs: number[] = [];
  readonly #faults: Record<string, number> = {};
  #powerLosses = 0;
  #corrupt = 0;
  #isOver = false;
  #flapping: Promise<void> | undefined;

  static async open(options: CrashOptions): Promise<CrashRun> {
    const random = seeded(options.seed);
    const flakiness = seeded(options.seed + 1);
    const dropped = new Set<Arrival>();
    const shims: Shim[] = [];
    const ledger = await openLedger({
      hosts,
      relay: {
        keepLog: false,
        environment(work) {
          const directory = join(work, "spool");
          const shim = prepareShim({ library: options.library, directory, work });
          shims.push(shim);
          return { ...shim.environment, NODE_COMPILE_CACHE: join(work, "compiled") };
        },
      },
      drops(arrival) {
        const isDropped = arrival.host === "flaky" && flakiness() < 0.02;
        if (isDropped) dropped.add(arrival);
        return isDropped;
      },
      refuse: (to) =>
        to.endsWith("@flaky.test") && flakiness() < 0.03 ? "451 4.3.0 not now" : undefined,
    });
    return new CrashRun({ options, ledger, shim: shims[0] as Shim, random, dropped });
  }

  private constructor(parts: {
    readonly options: CrashOptions;
    readonly ledger: Ledger;
    readonly shim: Shim;
    readonly random: () => number;
    readonly dropped: ReadonlySet<Arrival>;
  }) {
    this.#options = parts.options;
    this.#ledger = parts.ledger;
    this.#shim = parts.shim;
    this.#random = parts.random;
    this.#dropped = parts.dropped;
    for (const host of ["steady", "flaky", "flapping"]) this.#ledger.rule(`${host}.test`, host);
    this.#ledger.rule("sender.test", "reports");
    writeFileSync(this.#shim.recordFile, "");
    mkdirSync(join(this.#ledger.relay.directory, "spool"));
    this.#generator = this.#ledger.generate({
      connections: 20,
      messagesPerSecond: 0,
      bodyBytes: (number) => (number % bigEveryNth === 0 ? 300_000 : 4096),
      address(number) {
        const domain = `${hosts[number % 3]}.test`;
        return { to: `user${number}@${domain}`, domain };
      },
    });
  }

  async all(): Promise<CrashReport> {
    const { kills, faultRounds, answeredMin, told } = this.#options;
    this.#flapping = this.#flap();
    // Its code is compiled once, and kept at an end in good order: it starts sooner after all the others.
    await this.#start();
    await this.#ledger.relay.kill("SIGTERM");
    const rounds = [
      ...Array.from({ length: kills }, (): Kind | undefined => undefined),
      ...Array.from({ length: faultRounds }, () => kinds).flat(),
    ];
    shuffle(rounds, this.#random);
    for (const [number, kind] of rounds.entries()) {
      await this.#round(kind);
      if (number % 20 === 19) told?.(`${number + 1} rounds, ${this.#answered} answered`);
    }
    while (this.#answered < answeredMin) await this.#round(undefined);
    this.#isOver = true;
    await this.#flapping;
    return await this.#reckon();
  }

  get #answered(): number {
    return this.#generator.entries.filter(({ answered }) => answered).length;
  }

  async #round(kind: Kind | undefined): Promise<void> {
    const { relay } = this.#ledger;
    truncateSync(this.#shim.recordFile, 0);
    const disk = new Disk(join(relay.directory, "spool"));
    const name = kind?.name ?? "kill -9";
    this.#faults[name] = (this.#faults[name] ?? 0) + 1;
    if (kind?.isAtStart === true) await this.#endAtStart(kind);
    else {
      await this.#start();
      await sleep(20 + this.#random() * this.#options.upMsMax);
      if (kind !== undefined) await this.#break(kind);
      await relay.kill("SIGKILL");
    }
    this.#ends.push(Date.now());
    const leftover = this.#leftover();
    if (leftover === undefined) return;
    this.#powerLosses += 1;
    disk.replay(readFileSync(this.#shim.recordFile));
    disk.settle(leftover);
  }

  async #start(): Promise<void> {
    const { relay } = this.#ledger;
    const before = relay.log().length;
    await relay.start();
    this.#corrupt += relay
      .log()
      .slice(before)
      .filter(({ event }) => event === "corrupt").length;
  }

  async #endAtStart({ fault }: Kind): Promise<void> {
    const { relay } = this.#ledger;
    const armed = fault(this.#random);
    if (armed !== undefined) this.#shim.arm(armed);
    await relay.start().then(
      async () => await relay.kill("SIGKILL"), // it made fewer calls than that
      () => undefined,
    );
    this.#shim.disarm();
  }

  /** Until the fault has ended the process, or its time is over; then some load without it. */
  async #break({ fault, syncDelayMs = 0 }: Kind): Promise<void> {
    const fromMs = Date.now();
    const armed = fault(this.#random);
    this.#shim.delaySyncs({ ms: syncDelayMs });
    if (armed !== undefined) this.#shim.arm(armed);
    while (Date.now() < fromMs + faultMsMax && this.#ledger.relay.port() !== undefined)
      await sleep(5);
    this.#shim.disarm();
    this.#shim.delaySyncs({ ms: 0 });
    this.#faultSpans.push({ fromMs, toMs: Date.now() });
    await sleep(this.#random() * 500);
  }

  /** One third: the end of the process alone; else power goes too. */
  #leftover(): (() => Leftover) | undefined {
    const chance = this.#random();
    if (chance < 1 / 3) return undefined;
    if (chance < 2 / 3) return () => "lost";
    const choices = ["lost", "half", "kept"] as const;
    return () => choices[Math.floor(this.#random() * 3)] ?? "lost";
  }

  async #flap(): Promise<void> {
    const sink = this.#ledger.sinks.get("flapping");
    const random = seeded(this.#options.seed + 2);
    while (!this.#isOver) {
      await sleep(300 + random() * 500);
      this.#downs.push(Date.now());
      await sink?.down();
      await sleep(200 + random() * 300);
      await sink?.up();
    }
  }

  async #reckon(): Promise<CrashReport> {
    const { relay, arrivals, damaged } = this.#ledger;
    await this.#start();
    const answer = mailroute([
      "queue",
      "release",
      "--held",
      "--socket",
      join(relay.directory, "spool/control.sock"),
    ]);
    const released = Number(/\d+/.exec(answer.out.join())?.[0] ?? 0);
    const books = await this.#ledger.settle(this.#generator, this.#options.settleMsMax);
    await eventually(() => this.#generator.underWay() === 0, {
      msMax: 60_000,
      what: "all answered",
    });
    const { sent, answered, missing, wrongHost, duplicates, missingNumbers, wrongArrivals } = books;
    const causes = causesOf({
      arrivals,
      dropped: this.#dropped,
      ends: this.#ends,
      downs: this.#downs,
      faults: this.#faultSpans,
    });
    return {
      ...{ sent, answered, missing, wrongHost, duplicates, missingNumbers, wrongArrivals },
      damaged: damaged.length,
      corrupt: this.#corrupt,
      ends: this.#ends.length,
      powerLosses: this.#powerLosses,
      released,
      causes,
      faults: this.#faults,
    };
  }

  async close(): Promise<void> {
    this.#isOver = true;
    await this.#flapping;
    await this.#ledger.relay.kill("SIGKILL");
    await this.#generator.stop();
    await this.#ledger.close();
    this.#shim.close();
  }
}

function shuffle<T>(list: T[], random: () => number): void {
  for (let last = list.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [list[last], list[other]] = [list[other] as T, list[last] as T];
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
