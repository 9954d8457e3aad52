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
  /** How long a sibling whose answer was lost must have been away before another is asked. */
  readonly goneMsMin?: number;
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
/** A container that starts again keeps its pod's address; DNS may fail for a moment. */
const goneMsMinDefault = 10_000;
/** Nobody is there: somebody may be, soon. */
const againMs = 1000;
const lookMs = 2000;

export async function handOver(options: HandOverOptions): Promise<HandedOver> {
  const { key, messages, signal } = options;
  const agent = new Agent({ ...clientTls(key), keepAlive: true, maxSockets: atOnceMax });
  const siblings = new Siblings(options.siblings);
  const count = { given: 0, left: 0 };
  const queue = messages[Symbol.iterator]();
  const room = new Room(bytesMax);
  /** `to` is asked and nobody else; undefined: whoever takes it. */
  const give = async (stored: Stored, to?: string): Promise<Given | undefined> => {
    const { envelope } = stored;
    await room.take(envelope.bytes);
    try {
      const body = signal.aborted ? undefined : await options.body(envelope);
      if (body === undefined) return undefined;
      const frame = encodeFrame({ ...stored, body });
      const ask = async (address: string): Promise<Answer> =>
        await post({ agent, address, port: options.port, frame, signal });
      const { goneMsMin = goneMsMinDefault } = options;
      return to === undefined
        ? await giveTo({ siblings, signal, ask })
        : await insist({ siblings, signal, ask, goneMsMin }, to);
    } finally {
      room.give(envelope.bytes);
    }
  };
  const conclude = async (stored: Stored, given: Given | undefined): Promise<void> => {
    if (given?.answer !== "taken") count.left += 1;
    else {
      await options.given(stored.envelope, given.address);
      count.given += 1;
    }
  };
  const work = async (): Promise<void> => {
    const doubtful: { readonly stored: Stored; readonly address: string }[] = [];
    for (let next = queue.next(); next.done !== true; next = queue.next()) {
      const given = await give(next.value);
      // He may be back in a moment: the others do not wait for that.
      if (given?.answer === "lost") doubtful.push({ stored: next.value, address: given.address });
      else await conclude(next.value, given);
    }
    for (const { stored, address } of doubtful) {
      const given = await give(stored, address);
      await conclude(stored, given?.answer === "elsewhere" ? await give(stored) : given);
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

/** "lost": it was sent whole, and nobody knows whether it was taken. */
type Answer = "taken" | "refused" | "elsewhere" | "lost";

type Given = { readonly address: string; readonly answer: Answer };

type Asking = {
  readonly siblings: Siblings;
  readonly signal: AbortSignal;
  readonly ask: (address: string) => Promise<Answer>;
};

/** Asks one sibling after the other until one takes it, may have it, or none ever will; undefined: time is up. */
async function giveTo({ siblings, signal, ask }: Asking): Promise<Given | undefined> {
  while (!signal.aborted) {
    const address = await siblings.next();
    if (address === undefined) {
      await pause(againMs, signal);
      continue;
    }
    const answer = await ask(address);
    if (answer !== "taken") siblings.rest(address);
    if (answer !== "elsewhere") return { address, answer };
  }
  return undefined;
}

/**
 * Whose answer was lost is asked until he says whether he has it: no other should have it, too. "elsewhere": he has
 * been gone for too long. Who is there and takes nothing just now has not said that he has not got it.
 */
async function insist(
  { siblings, signal, ask, goneMsMin }: Asking & { readonly goneMsMin: number },
  address: string,
): Promise<Given | undefined> {
  let thereAtMs = performance.now();
  while (!signal.aborted) {
    const answer = await ask(address);
    if (answer === "taken" || answer === "refused") return { address, answer };
    if (await siblings.isThere(address)) thereAtMs = performance.now();
    if (performance.now() - thereAtMs >= goneMsMin) return { address, answer: "elsewhere" };
    await pause(againMs, signal);
  }
  return undefined;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
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
    await this.#refresh(nowMs);
    const awake = this.#known.filter((each) => (this.#restUntilMs.get(each) ?? 0) <= nowMs);
    return awake[this.#turn++ % awake.length];
  }

  async isThere(address: string): Promise<boolean> {
    await this.#refresh(performance.now());
    return this.#known.includes(address);
  }

  async #refresh(nowMs: number): Promise<void> {
    if (nowMs - this.#lookedAtMs <= lookMs) return;
    this.#lookedAtMs = nowMs;
    this.#known = await this.#look();
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
    // Before its end has been written it cannot have been taken: a frame is whole or damaged.
    asked.once("error", () => resolve(asked.writableFinished ? "lost" : "elsewhere"));
    asked.end(frame);
  });
}
