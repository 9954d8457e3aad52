/**
 * How many messages are taken of whom: strangers by network and minute, identities by the hour, their number
 * shared out among the relays. Pure state, over a clock that is given; it refuses and never waits.
 */
import { networkOf } from "../listener/limits.ts";
import type { Client } from "../listener/reception.ts";
import type { Reply } from "../outcome.ts";
import { Rates } from "../policy/rates.ts";
import type { Submitter } from "../policy/submitter.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const ratedMax = 100_000;

type MessageRatesOptions = {
  readonly limits: { readonly messagesPerClientMinuteMax: number };
  /** Epoch milliseconds. */
  readonly now: () => number;
};

type Rated = {
  readonly client: Client;
  readonly trusted: boolean;
  readonly submitter: Submitter | undefined;
  /** Those that share what a whole namespace may. */
  readonly relays: number;
};

/** Why a message is one too many for now; undefined: it is counted. */
export function messageRates({
  limits,
  now,
}: MessageRatesOptions): (rated: Rated) => Reply | undefined {
  const strangers = new Rates({ windowMs: minuteMs, keysMax: ratedMax });
  const submitters = new Rates({ windowMs: hourMs, keysMax: ratedMax });
  return ({ client, trusted, submitter, relays }) => {
    const hourly = submitter?.hourly;
    let waitMs = 0;
    if (hourly !== undefined) waitMs = submitters.take(hourly.key, hourly.max / relays, now());
    else if (!trusted)
      waitMs = strangers.take(networkOf(client.address), limits.messagesPerClientMinuteMax, now());
    if (waitMs === 0) return undefined;
    const seconds = Math.ceil(waitMs / 1000);
    const text = `too many messages, come again in ${seconds} s`;
    return { code: hourly === undefined ? 450 : 451, status: "4.7.1", text };
  };
}
