/** Pure: the counts and clocks of one session against its limits. Times in ms of any steady clock. */
import type { ListenerLimits } from "./limits.ts";

/** Where a session is, for its clocks. */
export type Progress = {
  readonly inTransaction: boolean;
  /** Octets of the message that is coming in; undefined while none is. */
  readonly receivedBytes: number | undefined;
};

export type Overdue = "idleMsMax" | "sessionMsMax" | "dataBytesPerSecondMin";

export class SessionMeter {
  /** Messages accepted so far. */
  messages = 0;
  readonly #limits: ListenerLimits;
  readonly #openedAt: number;
  #activeAt: number;
  #commands = 0;
  #errors = 0;
  #refusedRecipients = 0;
  /** Since when, and from which octet on, the message's speed is looked at. */
  #window: { readonly atMs: number; readonly bytes: number } | undefined;

  constructor(limits: ListenerLimits, now: number) {
    this.#limits = limits;
    this.#openedAt = now;
    this.#activeAt = now;
  }

  /** The client did something, or we have done what it waited for: the idle time starts anew. */
  active(now: number): void {
    this.#activeAt = now;
  }

  ageMs(now: number): number {
    return now - this.#openedAt;
  }

  /** Counts a line from the client; false when it is one too many. */
  command(): boolean {
    this.#commands += 1;
    return this.#commands <= this.#limits.commandsPerSessionMax;
  }

  /** Counts a protocol error; false when it is one too many. */
  error(): boolean {
    this.#errors += 1;
    return this.#errors <= this.#limits.errorsMax;
  }

  /** The last command was work, and is not counted: an accepted RCPT, a chunk of some size. */
  worked(): void {
    this.#commands -= 1;
  }

  /** Counts a refused recipient; false when it is one too many. Mail does not make up for it. */
  recipientRefused(): boolean {
    this.#refusedRecipients += 1;
    return this.#refusedRecipients <= this.#limits.refusedRecipientsMax;
  }

  /** A session that brings mail starts with clean counts again. */
  messageAccepted(): void {
    this.messages += 1;
    this.#commands = 0;
    this.#errors = 0;
  }

  /** Which clock has run out. An open transaction has one idle time more than the session. */
  overdue(now: number, session: Progress): Overdue | undefined {
    const { idleMsMax, sessionMsMax } = this.#limits;
    if (now - this.#activeAt > idleMsMax) return "idleMsMax";
    if (this.#isTooSlow(now, session.receivedBytes)) return "dataBytesPerSecondMin";
    const graceMs = session.inTransaction ? idleMsMax : 0;
    return this.ageMs(now) > sessionMsMax + graceMs ? "sessionMsMax" : undefined;
  }

  #isTooSlow(now: number, bytes: number | undefined): boolean {
    const { dataBytesPerSecondMin, dataWindowMs } = this.#limits;
    const window = this.#window;
    if (bytes === undefined || window === undefined || bytes < window.bytes) {
      this.#window = bytes === undefined ? undefined : { atMs: now, bytes };
      return false;
    }
    const ms = now - window.atMs;
    if (ms < dataWindowMs) return false;
    this.#window = { atMs: now, bytes };
    return (bytes - window.bytes) * 1000 < dataBytesPerSecondMin * ms;
  }
}
