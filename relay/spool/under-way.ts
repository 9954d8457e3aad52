/** What is under way, and must end before that which it works on may go. Pure: it knows promises only. */
import { SpoolError } from "./spool-error.ts";

export class UnderWay {
  readonly #all = new Set<Promise<unknown>>();
  #isClosing = false;

  /** Rejects with SpoolError once `close` has been called. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosing) throw new SpoolError("the spool is closed");
    const working = work();
    this.#all.add(working);
    try {
      return await working;
    } finally {
      this.#all.delete(working);
    }
  }

  /** Nothing more begins; resolves when all has ended. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.allSettled(this.#all);
  }
}
