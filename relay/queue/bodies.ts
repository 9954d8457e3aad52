/**
 * Bodies of messages that have just come and are likely to go out at once: kept in memory up to a bound, the
 * others are read from the spool when they are needed. Where one cannot be had, it says what becomes of its
 * recipients, and has what is left of it set aside first.
 */
import { free } from "../free.ts";
import type { Outcome } from "../outcome.ts";
import type { Spool } from "../spool/spool.ts";
import type { Entry } from "./entry.ts";

const unreadable: Outcome = {
  kind: "deferred",
  cause: "local",
  reply: { code: 451, status: "4.3.0", text: "the message cannot be read from disk" },
};
/** It will never be whole again, and the sender may still have it: he is told now, not when it expires. */
const damaged: Outcome = {
  kind: "failed",
  reply: { code: 554, status: "5.3.0", text: "the message was damaged on this relay's disk" },
};

export type BodiesOptions = {
  readonly spool: Pick<Spool, "body" | "head" | "keepDamaged">;
  readonly bytesMax: number;
  readonly corrupt: (id: string) => void;
};

export class Bodies {
  readonly #options: BodiesOptions;
  #bytes = 0;

  constructor(options: BodiesOptions) {
    this.#options = options;
  }

  keep(entry: Entry, body: Buffer): void {
    if (this.#bytes + body.length > this.#options.bytesMax) return;
    entry.body = body;
    this.#bytes += body.length;
  }

  /** Nothing of its message is under way: nobody looks at the body any more. */
  drop(entry: Entry): void {
    const { body } = entry;
    if (body === undefined) return;
    this.#bytes -= body.length;
    entry.body = undefined;
    free([body]);
  }

  /** The body; an outcome for all recipients where there is none. Damage is reported once it is in `corrupt/`. */
  async of({ body, envelope }: Entry): Promise<Buffer | Outcome> {
    if (body !== undefined) return body;
    const { spool, corrupt } = this.#options;
    const read = await spool.body(envelope);
    if (typeof read !== "string") return read;
    corrupt(envelope.id);
    return read === "damaged" && (await spool.keepDamaged(envelope)) ? damaged : unreadable;
  }

  /** At least its first `bytes`, for a report; undefined where they cannot be had. */
  async head({ body, envelope }: Entry, bytes: number): Promise<Uint8Array | undefined> {
    if (body !== undefined) return body;
    const { spool } = this.#options;
    const read = await spool.head(envelope, bytes);
    return typeof read === "string" ? undefined : read;
  }
}
