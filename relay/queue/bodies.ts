/**
 * Bodies of messages that have just come and are likely to go out at once: kept in memory up to a bound, the
 * others are read from the spool when they are needed. Counts octets and nothing else.
 */
import type { Spool } from "../spool/spool.ts";
import type { Entry } from "./entry.ts";

export class Bodies {
  readonly #spool: Spool;
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(spool: Spool, bytesMax: number) {
    this.#spool = spool;
    this.#bytesMax = bytesMax;
  }

  keep(entry: Entry, body: Buffer): void {
    if (this.#bytes + body.length > this.#bytesMax) return;
    entry.body = body;
    this.#bytes += body.length;
  }

  drop(entry: Entry): void {
    if (entry.body === undefined) return;
    this.#bytes -= entry.body.length;
    entry.body = undefined;
  }

  /** Undefined where it is damaged on disk. */
  of({ body, envelope }: Entry): Buffer | undefined {
    return body ?? this.#spool.body(envelope);
  }
}
