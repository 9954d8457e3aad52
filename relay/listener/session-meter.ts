/** Pure: the counts and clocks of one session against its limits. Times in ms of any steady clock. */
import type { ListenerLimits } from "./limits.ts";

export class SessionMeter {
  /** Messages accepted so far. */
  messages = 0;
  readonly #limits: ListenerLimits;
  readonly #openedAt: number;
  #activeAt: number;
  #commands = 0;
  #errors = 0;

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

  /** An accepted RCPT is work, not a command to count. */
  recipientAccepted(): void {
    this.#commands -= 1;
  }

  /** A session that brings mail starts with clean counts again. */
  messageAccepted(): void {
    this.messages += 1;
    this.#commands = 0;
    this.#errors = 0;
  }

  /** Which clock has run out. An open transaction has one idle time more than the session. */
  overdue(now: number, session: { readonly inTransaction: boolean }) {
    const { idleMsMax, sessionMsMax } = this.#limits;
    if (now - this.#activeAt > idleMsMax) return "idleMsMax";
    const graceMs = session.inTransaction ? idleMsMax : 0;
    return this.ageMs(now) > sessionMsMax + graceMs ? "sessionMsMax" : undefined;
  }
}
