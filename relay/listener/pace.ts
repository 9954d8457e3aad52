/**
 * How fast a session is answered that brings errors, or words, and no mail: pure. Slower and slower it costs
 * next to nothing, and a client that has gone astray is not cut off for it at once (errorsMax is for that).
 */
import { isError, type Step } from "./step.ts";

/** Answered at once, since the session began or a message came in whole. */
const promptErrorsMax = 5;
const errorWaitMs = 1000;
const promptIdleMax = 100;
/** Then one wait for so many commands. */
const idlePerWait = 10;
const idleWaitMs = 100;

export class Pace {
  #errors = 0;
  #idle = 0;

  /** How long this answer waits, in ms; mostly 0. */
  waitMs(step: Step): number {
    if (isError(step)) {
      this.#errors += 1;
      return this.#errors > promptErrorsMax ? errorWaitMs : 0;
    }
    // Greetings, NOOP, RSET, senders without recipients: what brings no mail however often it is said.
    const isIdle = Math.floor(step.reply.code / 100) === 2 && step.recipient === undefined;
    if (!isIdle) return 0;
    this.#idle += 1;
    return this.#idle > promptIdleMax && this.#idle % idlePerWait === 0 ? idleWaitMs : 0;
  }

  messageReceived(): void {
    this.#errors = 0;
    this.#idle = 0;
  }
}
