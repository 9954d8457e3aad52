/**
 * Kept connections: hands out the warmest, opens new ones within the limits, lets the rest wait their
 * turn, and rests what cannot be used. One message at a time on each connection, one timer for all.
 * Knows nothing of messages or routes; opening is `dial`'s, the dialog next-hop.ts's.
 */
import { eased, pressed, unlimited } from "./allowance.ts";
import { busy, type Dial, outwaited, shuttingDown } from "./dial.ts";
import { type Acquired, freshLine, type Line, pickIdle, type Waiter } from "./line.ts";
import type { NextHop } from "./next-hop.ts";
import type { DeliveryEvents, HopLimits } from "./options.ts";
import type { Hop } from "./policy.ts";
import { deferred, isTooMuch, type Trouble } from "./reply.ts";
import { nextRest, noRest, restLimits } from "./rest.ts";

/** A delivery: why it is cancelled, where it is; `onCancel` is set while it waits, and ends that. */
export type Flight = {
  cancelled: Trouble | undefined;
  onCancel: ((trouble: Trouble) => void) | undefined;
};

export type PoolOptions = {
  readonly limits: HopLimits;
  readonly dial: Dial;
  readonly events: DeliveryEvents;
  readonly now: () => number;
};

const raiseMs = 10_000;

/** What kept us from a host and says nothing about it: it is not rested for that. */
const notTheHosts: ReadonlySet<string> = new Set(["credentials", "unavailable", "shutdown"]);

export class Pool {
  private readonly limits: HopLimits;
  private readonly dial: Dial;
  private readonly events: DeliveryEvents;
  private readonly now: () => number;
  private readonly lines = new Map<string, Line>();
  /** Lines that wait for room under `connectionsMax`, longest first. */
  private readonly blocked = new Set<Line>();
  private total = 0;
  private closing = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(options: PoolOptions) {
    this.limits = options.limits;
    this.dial = options.dial;
    this.events = options.events;
    this.now = options.now;
  }

  /** An idle connection at once, if there is one and nobody waits for it. */
  take(hop: Hop): NextHop | undefined {
    const line = this.lines.get(hop.key);
    if (line === undefined || line.waiters.size > 0 || !this.isDue(line)) return undefined;
    const connection = pickIdle(line, "any");
    if (connection !== undefined) this.begun(line);
    return connection;
  }

  /** Waits for its turn. `fresh`: only a connection that no message has used. */
  async wait(hop: Hop, flight: Flight, want: "any" | "fresh"): Promise<Acquired> {
    if (this.closing) return { trouble: shuttingDown() };
    if (flight.cancelled !== undefined) return { trouble: flight.cancelled };
    const line = this.lineOf(hop.key);
    return await new Promise((resolve) => {
      const waiter: Waiter = {
        hop,
        fresh: want === "fresh",
        resolve: (acquired) => {
          flight.onCancel = undefined;
          resolve(acquired);
        },
      };
      flight.onCancel = (trouble) => {
        flight.onCancel = undefined;
        line.waiters.delete(waiter);
        this.abandon(line);
        resolve({ trouble: line.all.size > 0 ? busy(trouble, hop.name) : trouble });
      };
      line.waiters.add(waiter);
      this.pump(line);
    });
  }

  /** Nobody waits for what may never come. */
  private abandon(line: Line): void {
    if (line.dials.size <= line.waiters.size) return;
    [...line.dials].at(-1)?.abort();
  }

  /** After each message; a connection that has died meanwhile is known to be gone already. */
  release(hop: Hop, connection: NextHop): void {
    if (!connection.usable || this.closing || connection.messages >= hop.policy.messagesMax) {
      connection.quit();
      return;
    }
    const line = this.lineOf(hop.key);
    if (line.all.size > line.allowance.connectionsMax) {
      connection.quit();
      return;
    }
    connection.idleSince = this.now();
    line.idle.push(connection);
    if (line.waiters.size > 0) this.pump(line);
    else if (this.blocked.size > 0) this.unblock();
  }

  isRested(key: string): boolean {
    const line = this.lines.get(key);
    if (line === undefined || line.rest === noRest) return false;
    // Its rest is over, and somebody is finding out: one is enough.
    const isBeingProbed = line.all.size === 0 && line.dials.size > 0;
    return isBeingProbed || this.now() < line.rest.untilMs;
  }

  /** A host that takes connections but not us (AUTH, policy) is left alone for a while. */
  rest(hop: Hop, trouble: Trouble): void {
    if (trouble.kind !== "deferred") return;
    const line = this.lineOf(hop.key);
    const before = line.rest;
    line.rest = nextRest(before, this.now(), restLimits(this.limits, trouble.cause));
    if (line.rest === before) return;
    const restMs = line.rest.untilMs - this.now();
    this.events.hostRested?.({ hop: hop.name, restMs, cause: trouble.cause });
  }

  /** A message that began at `beganMs` was told that the host gets too much from us. */
  press(hop: Hop, beganMs: number, { reply }: Trouble): void {
    const line = this.lineOf(hop.key);
    const before = line.allowance;
    if (beganMs < before.settlesAtMs || line.all.size > before.connectionsMax) return;
    const connections = line.all.size + line.dials.size;
    line.allowance = pressed(before, { connections, code: reply.code, nowMs: this.now() });
    for (const idle of line.idle.slice(line.allowance.connectionsMax)) idle.quit();
    const { connectionsMax, spacingMs } = line.allowance;
    this.events.hostPressed?.({ hop: hop.name, connectionsMax, spacingMs, reply });
  }

  async close({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.closing = true;
    const endMs = this.now() + graceMs;
    for (const line of this.lines.values()) {
      this.answerAll(line, { trouble: shuttingDown() });
      for (const connection of line.idle.splice(0)) connection.quit();
    }
    while (this.total > 0 && this.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(20, graceMs)));
    }
    for (const line of this.lines.values()) {
      for (const dial of line.dials) dial.abort();
      for (const connection of line.all) connection.abort(shuttingDown());
    }
    this.stopSweep();
  }

  private lineOf(key: string): Line {
    const known = this.lines.get(key);
    if (known !== undefined) return known;
    const line = freshLine(key);
    this.lines.set(key, line);
    this.timer ??= setInterval(() => this.sweep(), this.limits.sweepMs).unref();
    return line;
  }

  /** Gives idle connections to those who wait longest, and opens what is missing. */
  private pump(line: Line): void {
    for (const waiter of line.waiters) {
      if (!this.isDue(line)) {
        this.pumpLater(line);
        break;
      }
      const connection = pickIdle(line, waiter.fresh ? "fresh" : "any");
      if (connection === undefined) {
        if (waiter.fresh) continue;
        break;
      }
      line.waiters.delete(waiter);
      this.begun(line);
      waiter.resolve({ connection });
    }
    for (const waiter of line.waiters) {
      if (line.dials.size >= line.waiters.size) break;
      if (!this.hasRoom(line, waiter)) break;
      this.openOne(line, waiter.hop);
    }
    if (line.dials.size >= line.waiters.size) this.blocked.delete(line);
  }

  private isDue(line: Line): boolean {
    return line.allowance.spacingMs === 0 || this.now() >= line.nextAtMs;
  }

  private begun(line: Line): void {
    line.nextAtMs = this.now() + line.allowance.spacingMs;
  }

  private pumpLater(line: Line): void {
    line.spacing ??= setTimeout(() => {
      line.spacing = undefined;
      if (!this.closing) this.pump(line);
    }, line.nextAtMs - this.now()).unref();
  }

  private hasRoom(line: Line, waiter: Waiter): boolean {
    const allowed = Math.min(line.ceiling, line.allowance.connectionsMax);
    const max = Math.min(waiter.hop.policy.connectionsMax, allowed);
    if (line.all.size + line.dials.size >= max) {
      this.blocked.delete(line);
      // Only idle ones that it must not use are in its way.
      if (!waiter.fresh || line.idle.length === 0) return false;
      line.idle.shift()?.quit();
      return line.all.size + line.dials.size < max;
    }
    if (this.total < this.limits.connectionsMax) return true;
    if (this.evict()) return true;
    this.blocked.add(line);
    return false;
  }

  /** Ends somebody's idle connection to make room. */
  private evict(): boolean {
    for (const line of this.lines.values()) {
      const oldest = line.idle.shift();
      if (oldest === undefined) continue;
      oldest.quit();
      return true;
    }
    return false;
  }

  private openOne(line: Line, hop: Hop): void {
    // It has had its turn: should it want more, it goes behind the others.
    this.blocked.delete(line);
    const cutOff = new AbortController();
    line.dials.add(cutOff);
    this.total += 1;
    const beganMs = this.now();
    void this.dial(hop, cutOff.signal)
      .catch((error: unknown): Acquired => {
        this.events.bug?.(error);
        const reply = { code: 451, status: "4.3.0", text: "internal error while connecting" };
        return { trouble: { kind: "deferred", cause: "local", reply } };
      })
      .then((dialled) => {
        line.dials.delete(cutOff);
        const isAbandoned = cutOff.signal.aborted && !this.closing;
        if ("connection" in dialled) this.admit(line, hop, dialled.connection);
        else {
          const trouble = isAbandoned ? outwaited(hop.name) : dialled.trouble;
          this.refused(line, hop, { trouble, beganMs });
        }
      });
  }

  private admit(line: Line, hop: Hop, connection: NextHop): void {
    if (!connection.usable) {
      // Gone between its EHLO and us, as after a 421 in the same segment: as if it never was.
      connection.quit();
      const text = `${hop.name} closed the connection after EHLO`;
      const trouble = deferred("connect", "4.4.2", text);
      this.refused(line, hop, { trouble, beganMs: this.now() });
      return;
    }
    if (line.all.size === 0) {
      line.rest = noRest;
      line.ceiling = Number.POSITIVE_INFINITY;
    }
    line.all.add(connection);
    connection.onGone = () => this.gone(line, connection);
    this.release(hop, connection);
  }

  private gone(line: Line, connection: NextHop): void {
    if (!line.all.delete(connection)) return;
    this.total -= 1;
    const at = line.idle.indexOf(connection);
    if (at !== -1) line.idle.splice(at, 1);
    this.events.connectionClosed?.({ hop: connection.hop, messages: connection.messages });
    // In its own turn: this may run in the middle of a reply or of another pump.
    queueMicrotask(() => this.refill(line));
  }

  /** Room that comes free goes round the lines that wait for it, before the one that had it. */
  private refill(line: Line): void {
    if (this.closing) return;
    this.unblock();
    this.pump(line);
  }

  private unblock(): void {
    for (const line of [...this.blocked]) {
      this.pump(line);
      // No room left: whoever had no turn keeps its place.
      if (this.blocked.has(line)) return;
    }
  }

  private refused(line: Line, hop: Hop, refusal: { trouble: Trouble; beganMs: number }): void {
    const { trouble, beganMs } = refusal;
    this.total -= 1;
    const cause = trouble.kind === "deferred" ? trouble.cause : "refused";
    this.events.connectionFailed?.({ hop: hop.name, cause, reply: trouble.reply });
    if (isTooMuch(trouble)) this.press(hop, beganMs, trouble);
    if (line.all.size > 0) {
      // It has enough of us, but those that it took go on working.
      line.ceiling = line.all.size;
      line.raiseAtMs = this.now() + raiseMs;
      this.refill(line);
      return;
    }
    line.ceiling = 1;
    if (!notTheHosts.has(cause)) this.rest(hop, trouble);
    if (line.dials.size === 0) this.answerAll(line, { trouble });
    this.refill(line);
  }

  private answerAll(line: Line, acquired: Acquired): void {
    const waiters = [...line.waiters];
    line.waiters.clear();
    this.blocked.delete(line);
    for (const waiter of waiters) waiter.resolve(acquired);
  }

  private sweep(): void {
    const now = this.now();
    for (const line of this.lines.values()) {
      for (const connection of line.all) connection.expire(now);
      const coldest = line.idle[0];
      if (coldest !== undefined && now - coldest.idleSince > this.limits.idleMsMax) {
        for (const connection of line.idle.filter(
          (one) => now - one.idleSince > this.limits.idleMsMax,
        )) {
          line.idle.splice(line.idle.indexOf(connection), 1);
          connection.quit();
        }
      }
      this.forgiveOrForget(line, now);
    }
    if (this.lines.size === 0) this.stopSweep();
  }

  private forgiveOrForget(line: Line, now: number): void {
    if (line.ceiling !== Number.POSITIVE_INFINITY && line.all.size > 0 && now >= line.raiseAtMs) {
      line.ceiling += 1;
      line.raiseAtMs = now + raiseMs;
      this.pump(line);
    }
    const { allowance } = line;
    line.allowance = eased(allowance, now);
    if (line.allowance !== allowance) this.pump(line);
    if (line.allowance !== unlimited) return;
    const isUnused = line.all.size + line.dials.size + line.waiters.size === 0;
    if (isUnused && now > line.rest.untilMs + this.limits.restMsMax) this.lines.delete(line.key);
  }

  private stopSweep(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
