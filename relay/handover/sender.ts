/**
 * Hands all messages of a spool to other relays of the installation. Loop: a few at a time, each to the next sibling
 * in turn; a message is let go only when a sibling has it on disk. What nobody takes stays where it is.
 */
import { Agent, request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import type { Envelope } from "../spool/records.ts";
import type { Stored } from "../spool/spool.ts";
import { encodeFrame } from "./frame.ts";
import { clientTls } from "./key.ts";
import { handoverPath } from "./receiver.ts";

export type HandOverOptions = {
  readonly key: Buffer;
  readonly messages: Iterable<Stored>;
  /** Undefined where it is damaged: such a message stays. */
  readonly body: (envelope: Envelope) => Promise<Buffer | undefined>;
  /** Addresses of the others, as they are now. */
  readonly siblings: () => Promise<readonly string[]>;
  readonly port: number;
  /** It is on a sibling's disk: called once for each, and waited for. */
  readonly given: (envelope: Envelope, to: string) => Promise<void>;
  /** Ends it: what has been answered is let go, the rest stays. */
  readonly signal: AbortSignal;
};

export type HandedOver = { readonly given: number; readonly left: number };

const atOnceMax = 8;
/** Of all messages that are going over: a larger one goes alone. */
const bytesMax = 32 * 1024 * 1024;
const requestMsMax = 30_000;
/** A sibling that did not take a message is asked again no sooner. */
const restMs = 5000;
/** Nobody is there: somebody may be, soon. */
const againMs = 1000;
const lookMs = 2000;

export async function handOver(options: HandOverOptions): Promise<HandedOver> {
  const { key, messages, body, given, signal } = options;
  const agent = new Agent({ ...clientTls(key), keepAlive: true, maxSockets: atOnceMax });
  const siblings = new Siblings(options.siblings);
  const count = { given: 0, left: 0 };
  const queue = messages[Symbol.iterator]();
  const room = new Room(bytesMax);
  const work = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      const stored = next.value;
      const size = stored.envelope.bytes;
      await room.take(size);
      const bytes = signal.aborted ? undefined : await body(stored.envelope);
      const to =
        bytes &&
        (await giveTo(siblings, signal, async (address) => {
          const frame = encodeFrame({ ...stored, body: bytes });
          return await post({ agent, address, port: options.port, frame, signal });
        }));
      room.give(size);
      if (to === undefined) count.left += 1;
      else {
        await given(stored.envelope, to);
        count.given += 1;
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: atOnceMax }, work));
  } finally {
    agent.destroy();
  }
  return count;
}

/** So many octets at once, or one that is larger. */
class Room {
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];
  #used = 0;

  constructor(max: number) {
    this.#max = max;
  }

  async take(bytes: number): Promise<void> {
    while (this.#used > 0 && this.#used + bytes > this.#max)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

type Answer = "taken" | "refused" | "elsewhere";

/** Asks one sibling after the other until one takes it, none ever will, or time is up; the answer is who took it. */
async function giveTo(
  siblings: Siblings,
  signal: AbortSignal,
  ask: (address: string) => Promise<Answer>,
): Promise<string | undefined> {
  while (!signal.aborted) {
    const address = await siblings.next();
    if (address === undefined) {
      await sleep(againMs, undefined, { signal }).catch(() => undefined);
      continue;
    }
    const answer = await ask(address);
    if (answer === "taken") return address;
    if (answer === "refused") return undefined;
    siblings.rest(address);
  }
  return undefined;
}

/** Who is there, in turn, without those that have just failed. */
class Siblings {
  readonly #look: () => Promise<readonly string[]>;
  readonly #restUntilMs = new Map<string, number>();
  #known: readonly string[] = [];
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #turn = 0;

  constructor(look: () => Promise<readonly string[]>) {
    this.#look = look;
  }

  async next(): Promise<string | undefined> {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs > lookMs) {
      this.#lookedAtMs = nowMs;
      this.#known = await this.#look();
    }
    const awake = this.#known.filter((each) => (this.#restUntilMs.get(each) ?? 0) <= nowMs);
    return awake[this.#turn++ % awake.length];
  }

  rest(address: string): void {
    this.#restUntilMs.set(address, performance.now() + restMs);
  }
}

function post(options: {
  readonly agent: Agent;
  readonly address: string;
  readonly port: number;
  readonly frame: Buffer;
  readonly signal: AbortSignal;
}): Promise<Answer> {
  const { agent, address, port, frame, signal } = options;
  return new Promise((resolve) => {
    const asked = request(
      {
        agent,
        host: address,
        port,
        method: "POST",
        path: handoverPath,
        headers: { "content-length": frame.length },
        signal: AbortSignal.any([signal, AbortSignal.timeout(requestMsMax)]),
      },
      (response) => {
        response.resume();
        response.once("error", () => resolve("elsewhere"));
        const { statusCode } = response;
        // 400 and 409: no sibling reads it, or it is another message of the same name.
        const isFinal = statusCode === 400 || statusCode === 409 || statusCode === 413;
        resolve(statusCode === 200 ? "taken" : isFinal ? "refused" : "elsewhere");
      },
    );
    asked.once("error", () => resolve("elsewhere"));
    asked.end(frame);
  });
}
