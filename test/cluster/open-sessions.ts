/**
 * Sessions that are open while a certificate is swapped, each at another point, and the connections that are made
 * meanwhile. Loop over the client side of SMTP; over TLS from the first byte.
 */
import assert from "node:assert/strict";
import type { TLSSocket } from "node:tls";
import type { TestClient } from "../../relay/listener/dialog.testkit.ts";
import { say, sendBody } from "../acceptance/client.ts";
import { greetedOverTls, showToken } from "./outside.ts";

export type OpenOptions = {
  /** A connection to a submissions listener. */
  readonly dial: () => TestClient;
  readonly token: string;
  /** Whom the token's identity may send as. */
  readonly sender: string;
  /** The sessions' recipients are IDLE, BEGUN and SENDING of this domain. */
  readonly domain: string;
};

const points = ["idle", "begun", "sending"] as const;
export type Point = (typeof points)[number];

/** A line of a message that never pauses: relays end those that drip in more slowly. */
const line = `${"x".repeat(70)}\r\n`;
const lineEveryMs = 250;
const connectEveryMs = 500;

export class OpenSessions {
  readonly #options: OpenOptions;
  readonly #clients = new Map<Point, TestClient>();
  #sending: NodeJS.Timeout | undefined;

  constructor(options: OpenOptions) {
    this.#options = options;
  }

  /** One has logged in, one has named a recipient, one is in the middle of its message. */
  async open(): Promise<void> {
    const { dial, token } = this.#options;
    for (const point of points) {
      const client = await greetedOverTls(dial());
      this.#clients.set(point, client);
      assert.match(await showToken(client, token), /^235 /);
      if (point !== "idle") await this.#begin(point);
    }
    const client = this.#client("sending");
    assert.match(await say(client, "DATA"), /^354 /);
    client.send("Subject: sending\r\n\r\n");
    this.#sending = setInterval(() => client.send(line), lineEveryMs);
  }

  /** What each was shown when it began. */
  fingerprints(): readonly string[] {
    return points.map((point) => fingerprintOf(this.#client(point)));
  }

  /** Each ends its message: the answers, and to whom the messages were. */
  async finish(): Promise<readonly { readonly to: string; readonly answer: string }[]> {
    clearInterval(this.#sending);
    const sending = await say(this.#client("sending"), "end\r\n.");
    const begun = await sendBody(this.#client("begun"), {});
    await this.#begin("idle");
    const idle = await sendBody(this.#client("idle"), {});
    const answers = { idle, begun, sending };
    return points.map((point) => ({ to: this.#recipient(point), answer: answers[point] }));
  }

  close(): void {
    clearInterval(this.#sending);
    for (const client of this.#clients.values()) client.socket.destroy();
  }

  async #begin(point: Point): Promise<void> {
    const client = this.#client(point);
    assert.match(await say(client, `MAIL FROM:<${this.#options.sender}>`), /^250 /);
    assert.match(await say(client, `RCPT TO:<${this.#recipient(point)}>`), /^250 /);
  }

  #recipient(point: Point): string {
    return `${point}@${this.#options.domain}`;
  }

  #client(point: Point): TestClient {
    const client = this.#clients.get(point);
    if (client === undefined) throw new Error(`the session ${point} is not open`);
    return client;
  }
}

/** Connects until that certificate is served; the answer is what each connection was shown. All must be greeted. */
export async function connectUntilServed(options: {
  readonly dial: () => TestClient;
  readonly fingerprint: string;
  readonly msMax: number;
}): Promise<readonly string[]> {
  const shown: string[] = [];
  const endMs = Date.now() + options.msMax;
  while (shown.at(-1) !== options.fingerprint) {
    if (Date.now() > endMs) throw new Error(`not served within ${options.msMax} ms`);
    const client = await greetedOverTls(options.dial());
    shown.push(fingerprintOf(client));
    assert.match(await say(client, "QUIT"), /^221 /);
    client.socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, connectEveryMs));
  }
  return shown;
}

export function fingerprintOf({ socket }: TestClient): string {
  return (socket as TLSSocket).getPeerX509Certificate()?.fingerprint256 ?? "";
}
