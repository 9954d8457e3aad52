/**
 * What an earlier process left, as small in memory as what comes new: strings that many messages have in common are
 * one, and objects have no room to spare. Pure state: the strings that it has seen lately.
 */
import type { Envelope, Pending, State, StoredRecipient } from "../spool/records.ts";
import type { Stored } from "../spool/spool.ts";

/** Then it begins anew: neighbours have more in common than messages that came days apart. */
const stringsMax = 20_000;

export class Compactor {
  readonly #strings = new Map<string, string>();

  compact({ envelope, state, isStateLost }: Stored): Stored {
    const compacted = { envelope: this.#envelope(envelope), state: this.#state(state) };
    return isStateLost === true ? { ...compacted, isStateLost } : compacted;
  }

  #envelope({ ret, envid, ...envelope }: Envelope): Envelope {
    const { id, session, client, trusted, sender, recipients } = envelope;
    const { arrivedAtMs, bytes, crc, eightBit, smtputf8 } = envelope;
    const usual = {
      id,
      session: this.#shared(session),
      client: this.#shared(client),
      trusted,
      sender: this.#shared(sender),
      recipients: recipients.map((each) => this.#recipient(each)),
      arrivedAtMs,
      bytes,
      crc,
      eightBit,
      smtputf8,
    };
    if (ret === undefined && envid === undefined) return usual;
    return { ...usual, ...(ret !== undefined && { ret }), ...(envid !== undefined && { envid }) };
  }

  #recipient({ notify, orcpt, ...recipient }: StoredRecipient): StoredRecipient {
    const { address, expiresAtMs, warnAtMs } = recipient;
    const usual = { address, key: this.#shared(recipient.key), expiresAtMs, warnAtMs };
    if (notify === undefined && orcpt === undefined) return usual;
    return {
      ...usual,
      ...(notify !== undefined && { notify }),
      ...(orcpt !== undefined && { orcpt }),
    };
  }

  #state({ recipients, ...state }: State): State {
    return { ...state, recipients: recipients.map((each) => each && this.#pending(each)) };
  }

  #pending({ attempts, dueAtMs, warned, last, key }: Pending): Pending {
    const usual = { attempts, dueAtMs, warned, last: this.#shared(last) };
    return key === undefined ? usual : { ...usual, key: this.#shared(key) };
  }

  #shared(text: string): string {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    if (this.#strings.size >= stringsMax) this.#strings.clear();
    this.#strings.set(text, text);
    return text;
  }
}
