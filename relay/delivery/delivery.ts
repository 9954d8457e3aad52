/**
 * One transaction to its next hop, and what became of each recipient: takes the hosts of the target in
 * order, one after the other while another may still help. No queue, no retry times and no spool here;
 * hosts come from order.ts and mx.ts, connections from pool.ts, fates from fate.ts.
 */
import type { Route, Signer } from "../../routing/route.ts";
import type { Outcome, Phase } from "../outcome.ts";
import {
  isAscii,
  isSafeAddress,
  isSafeHelo,
  type Letter,
  type LetterDsn,
  letterTrouble,
  noUtf8,
} from "./commands.ts";
import { createDial, outwaited, shuttingDown } from "./dial.ts";
import { Signing } from "./dkim/signing.ts";
import { judge, type Transcript, type Verdict } from "./fate.ts";
import { HopFinder } from "./hops.ts";
import type { NextHop } from "./next-hop.ts";
import {
  type DeliveryEvents,
  type DeliveryOptions,
  defaultHopLimits,
  type HopLimits,
} from "./options.ts";
import type { Hop } from "./policy.ts";
import { Pool } from "./pool.ts";
import { deferred, failed, isTooMuch, type Trouble } from "./reply.ts";

export type { Credential, DeliveryOptions } from "./options.ts";

export type Job = {
  /** The message's id, for logs. */
  readonly id: string;
  /** Reverse-path without <>; "" is the null sender. */
  readonly sender: string;
  /** Forward-paths without <>. */
  readonly recipients: readonly string[];
  /** CRLF lines, not dot-stuffed, ends with CRLF. */
  readonly body: Uint8Array;
  /** Header fields that go before it. */
  readonly prefix?: Uint8Array;
  /** The body has 8-bit octets. */
  readonly eightBit: boolean;
  readonly smtputf8: boolean;
  /** What the sender asked to be told, for next hops that do that. */
  readonly dsn?: LetterDsn | undefined;
  /** Who signs it (DKIM); absent: nobody. */
  readonly signer?: Signer | undefined;
  /** Target hosts, inbound or mx only. */
  readonly route: Route;
  /** The recipients' domain, for the target mx. */
  readonly domain: string;
  /** False: the route has changed since, and nothing more is to be begun for this job. */
  readonly isWanted?: () => boolean;
  /** When it is aborted, a message that is not on its way yet goes to a host that is quick, or is deferred. */
  readonly patience?: AbortSignal | undefined;
  /** Told each time that the message itself rests, as nobody has taken a connection yet, or is at work again. */
  readonly phase?: (phase: Phase) => void;
};

export interface Delivery {
  /** One Outcome per recipient, in order. Never rejects. */
  deliver(job: Job, signal: AbortSignal): Promise<readonly Outcome[]>;
  /** Ends idle connections, waits for those in flight up to graceMs. */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/** For each host that is left when patience has ended. */
const hurriedMsMax = 5000;

type Told = Exclude<Verdict, { kind: "stale" }>;

/** One `deliver` under way: what it waits for, or the connection it uses. */
type Flight = {
  cancelled: Trouble | undefined;
  onCancel: ((trouble: Trouble) => void) | undefined;
  connection: NextHop | undefined;
  /** A host has taken a connection and greeted. */
  isMet: boolean;
};

/** Throws a TypeError where the hostname or a network in `options` is none. */
export function createDelivery(options: DeliveryOptions): Delivery {
  if (!isSafeHelo(options.hostname)) throw new TypeError(`no hostname: ${options.hostname}`);
  return new Deliverer(options);
}

class Deliverer implements Delivery {
  private readonly events: DeliveryEvents;
  private readonly limits: HopLimits;
  private readonly now: () => number;
  private readonly pool: Pool;
  private readonly finder: HopFinder;
  private readonly signing: Signing;
  private readonly flights = new WeakMap<AbortSignal, Set<Flight>>();

  constructor(options: DeliveryOptions) {
    const limits = { ...defaultHopLimits, ...options.limits };
    const { now = () => performance.now(), random = Math.random, events = {} } = options;
    this.events = events;
    this.signing = new Signing({ credentials: options.credentials, now: Date.now });
    this.limits = limits;
    this.now = now;
    this.pool = new Pool({ limits, now, events, dial: createDial(options, { limits, now }) });
    this.finder = new HopFinder({
      delivery: options,
      defaults: {
        heloName: options.hostname,
        connectionsMax: limits.connectionsPerHopMax,
        messagesMax: limits.messagesPerConnectionMax,
      },
      isRested: (key) => this.pool.isRested(key),
      random,
    });
  }

  async deliver(job: Job, signal: AbortSignal): Promise<readonly Outcome[]> {
    const outcomes = new Array<Outcome | undefined>(job.recipients.length).fill(undefined);
    const flight = this.takeOff(signal);
    const running = this.run(job, outcomes, flight).catch((error: unknown): Trouble => {
      this.events.bug?.(error);
      return deferred("local", "4.3.0", "internal error while delivering");
    });
    if (job.patience !== undefined) giveUpAfter(job.patience, flight);
    const ended = await running; // and whatever it has of the message is used no more
    this.flights.get(signal)?.delete(flight);
    const isUnmet = ended.kind === "deferred" && !flight.isMet;
    const last: Trouble = isUnmet ? { ...ended, isUnmet } : ended;
    return outcomes.map((outcome) => outcome ?? last);
  }

  async close(options: { readonly graceMs: number }): Promise<void> {
    await this.pool.close(options);
  }

  /** One abort listener for each signal, however many messages fly under it. */
  private takeOff(signal: AbortSignal): Flight {
    let flights = this.flights.get(signal);
    if (flights === undefined) {
      flights = new Set();
      this.flights.set(signal, flights);
      const all = flights;
      signal.addEventListener("abort", () => cancelAll(all), { once: true });
    }
    const flight: Flight = {
      cancelled: signal.aborted ? shuttingDown() : undefined,
      onCancel: undefined,
      connection: undefined,
      isMet: false,
    };
    flights.add(flight);
    return flight;
  }

  /** Fills in `outcomes`; returns what holds for those it leaves open. */
  private async run(job: Job, outcomes: (Outcome | undefined)[], flight: Flight): Promise<Trouble> {
    const { heloName } = this.finder.policyOf(job.route);
    const trouble = envelopeTrouble(job, outcomes) ?? routeTrouble(job.route, heloName);
    if (trouble !== undefined) return trouble;
    job.phase?.("waits");
    const found = await this.lookUp(job, flight);
    job.phase?.("works");
    if ("trouble" in found) return found.trouble;
    const letter = await this.signed(job);
    if ("trouble" in letter) return letter.trouble;
    let open = openPositions(outcomes);
    let last: Trouble | undefined;
    for (const hop of found.hops.slice(0, this.limits.hostsPerAttemptMax)) {
      if (open.length === 0) break;
      if (flight.cancelled !== undefined) return flight.cancelled;
      if (job.isWanted?.() === false) return outdated();
      const verdict = await this.tryHost(letter, open, hop, flight);
      if ("trouble" in verdict) {
        if (flight.cancelled !== undefined) return { ...verdict.trouble, hop: hop.name };
        last = worse(last, { ...verdict.trouble, hop: hop.name });
        continue;
      }
      if (verdict.rest !== undefined) this.pool.rest(hop, verdict.rest);
      for (const [at, position] of open.entries()) outcomes[position] = verdict.outcomes[at];
      open = verdict.again.map((at) => open[at] as number);
    }
    return last ?? deferred("unavailable", "4.3.5", "the route names no host");
  }

  /** A look-up cannot be ended: whoever gives up goes on without its answer. */
  private async lookUp({ route, domain }: Job, flight: Flight): ReturnType<HopFinder["find"]> {
    const { promise: gaveUp, resolve } = Promise.withResolvers<{ readonly trouble: Trouble }>();
    flight.onCancel = (trouble) => resolve({ trouble });
    try {
      return await Promise.race([this.finder.find(route, domain), gaveUp]);
    } finally {
      flight.onCancel = undefined;
    }
  }

  private async signed(job: Job): Promise<Job | { readonly trouble: Trouble }> {
    const { id, body, signer } = job;
    if (signer === undefined) return job;
    const signed = await this.signing.sign(id, body, signer);
    const isSigned = "field" in signed;
    this.events.signed?.({ domain: signer.domain, result: isSigned ? "signed" : "unavailable" });
    return isSigned ? { ...job, prefix: signed.field } : signed;
  }

  /** One transaction for the recipients at `positions`, at one host. */
  private async tryHost(
    job: Job,
    positions: readonly number[],
    hop: Hop,
    flight: Flight,
  ): Promise<Told | { readonly trouble: Trouble }> {
    const beganMs = this.now();
    const recipients =
      positions.length === job.recipients.length
        ? job.recipients
        : positions.map((position) => job.recipients[position] as string);
    const letter: Letter = recipients === job.recipients ? job : { ...job, recipients };
    const acquired = await this.acquired(job, hop, flight);
    if ("trouble" in acquired) return acquired;
    let reused = acquired.connection.messages > 0;
    let verdict = await this.exchange(letter, acquired.connection, hop, flight);
    if (verdict.kind === "stale") {
      // It died while it was kept, and nothing was said on it: once more on a new one, at no risk.
      const fresh = await this.acquired(job, hop, flight, "fresh");
      if ("trouble" in fresh) return fresh;
      reused = false;
      verdict = await this.exchange(letter, fresh.connection, hop, flight);
    }
    if (verdict.kind === "stale") throw new Error("a new connection cannot be stale");
    flight.isMet = true;
    this.events.attempt?.({
      id: job.id,
      route: job.route.id,
      hop: hop.name,
      reused,
      recipients,
      outcomes: verdict.outcomes,
      ms: this.now() - beganMs,
    });
    return verdict;
  }

  /** A connection, where the message is still to go this way when there is one. */
  private async acquired(job: Job, hop: Hop, flight: Flight, want: "any" | "fresh" = "any") {
    const kept = want === "any" ? this.pool.take(hop) : undefined;
    const acquired = kept ? { connection: kept } : await this.waited(job, hop, flight, want);
    if ("trouble" in acquired) return acquired;
    const unwanted = flight.cancelled ?? (job.isWanted?.() === false ? outdated() : undefined);
    if (unwanted === undefined) return acquired;
    this.pool.release(hop, acquired.connection);
    return { trouble: unwanted };
  }

  /** A connection, once it is our turn; where patience has ended, within `hurriedMsMax`. */
  private async waited(job: Job, hop: Hop, flight: Flight, want: "any" | "fresh") {
    job.phase?.("waits");
    const isHurried = job.patience?.aborted === true;
    const giveUp = (): void => flight.onCancel?.(outwaited(hop.name));
    const timer = isHurried ? setTimeout(giveUp, hurriedMsMax) : undefined;
    const acquired = await this.pool.wait(hop, flight, want);
    clearTimeout(timer);
    job.phase?.("works");
    return acquired;
  }

  /** The message over one connection, which goes back to the pool. */
  private async exchange(
    letter: Letter,
    connection: NextHop,
    hop: Hop,
    flight: Flight,
  ): Promise<Verdict> {
    const reused = connection.messages > 0;
    const sayable = sayableRecipients(letter, connection);
    if ("trouble" in sayable) {
      this.pool.release(hop, connection);
      const outcome = { ...sayable.trouble, hop: hop.name };
      return { kind: "told", outcomes: letter.recipients.map(() => outcome), again: [] };
    }
    flight.connection = connection;
    const beganMs = this.now();
    const transcript = await new Promise<Transcript>((resolve) => {
      connection.transact(sayable.letter, resolve);
    });
    flight.connection = undefined;
    this.pool.release(hop, connection);
    const verdict = judge(transcript, { hop: hop.name, reused });
    if (verdict.kind === "told") this.heed(verdict, hop, beganMs);
    return sayable.letter === letter ? verdict : spread(verdict, sayable.positions, letter, hop);
  }

  /** A message that is put off whole because it is too much: less for a while. */
  private heed({ outcomes }: Told, hop: Hop, beganMs: number): void {
    const [first] = outcomes;
    if (first !== undefined && isTooMuch(first) && outcomes.every(isTooMuch)) {
      this.pool.press(hop, beganMs, first);
    }
  }
}

function cancelAll(flights: ReadonlySet<Flight>): void {
  for (const flight of flights) {
    flight.cancelled = shuttingDown();
    flight.onCancel?.(shuttingDown());
    flight.connection?.abort(shuttingDown());
  }
}

/** When patience ends, ends what is waited for, and the next host has its turn; or nobody, where none has been tried. */
function giveUpAfter(patience: AbortSignal, flight: Flight): void {
  const onAbort = (): void => {
    const { connection, onCancel } = flight;
    if (connection?.isOnItsWay === true) return;
    const trouble = outwaited(connection?.hop ?? "its next hop");
    if (connection !== undefined) connection.abort(trouble);
    else if (onCancel !== undefined) onCancel(trouble);
    else flight.cancelled ??= trouble;
  };
  if (patience.aborted) onAbort();
  else patience.addEventListener("abort", onAbort, { once: true });
}

/** Addresses come parsed; should one not be, it must not write a command of its own. */
function envelopeTrouble(job: Job, outcomes: (Outcome | undefined)[]): Trouble | undefined {
  if (!isSafeAddress(job.sender)) return failed(553, "5.1.7", "the sender is no mail address");
  for (const [position, recipient] of job.recipients.entries()) {
    if (recipient !== "" && isSafeAddress(recipient)) continue;
    outcomes[position] = failed(553, "5.1.3", "the recipient is no mail address");
  }
  return undefined;
}

/** What is wrong with a route is never the sender's fault. */
function routeTrouble(route: Route, heloName: string): Trouble | undefined {
  if (route.unavailable !== undefined) return deferred("unavailable", "4.3.5", route.unavailable);
  if (isSafeHelo(heloName)) return undefined;
  return deferred("local", "4.3.5", "the route's heloName is no host name");
}

function openPositions(outcomes: readonly (Outcome | undefined)[]): readonly number[] {
  const open: number[] = [];
  for (let at = 0; at < outcomes.length; at++) if (outcomes[at] === undefined) open.push(at);
  return open;
}

/** While one host may still take it, another's refusal is not the end. */
function worse(last: Trouble | undefined, next: Trouble): Trouble {
  return last?.kind === "deferred" && next.kind === "failed" ? last : next;
}

type Sayable = { readonly letter: Letter; readonly positions: readonly number[] };

/** Without SMTPUTF8 at the next hop, recipients outside ASCII fail and the others need not. */
function sayableRecipients(
  letter: Letter,
  connection: NextHop,
): Sayable | { readonly trouble: Trouble } {
  const extensions = connection.announced;
  const trouble = letterTrouble(letter, extensions);
  if (trouble !== undefined) return { trouble };
  if (extensions.smtputf8 || letter.recipients.every(isAscii)) return { letter, positions: [] };
  const positions = [...letter.recipients.keys()].filter((at) =>
    isAscii(letter.recipients[at] ?? ""),
  );
  if (positions.length === 0) return { trouble: noUtf8() };
  const recipients = positions.map((at) => letter.recipients[at] as string);
  return { letter: { ...letter, recipients }, positions };
}

/** The verdict on some recipients, with the others refused for want of SMTPUTF8. */
function spread(verdict: Verdict, positions: readonly number[], letter: Letter, hop: Hop): Verdict {
  if (verdict.kind === "stale") return verdict;
  const refused: Outcome = { ...noUtf8(), hop: hop.name };
  const outcomes = letter.recipients.map(
    (_, at) => verdict.outcomes[positions.indexOf(at)] ?? refused,
  );
  return { ...verdict, outcomes, again: verdict.again.map((at) => positions[at] as number) };
}

/** What waited here goes another way now, which whoever sent the job decides. */
function outdated(): Trouble {
  return deferred("withdrawn", "4.4.4", "its route changed while it waited");
}
