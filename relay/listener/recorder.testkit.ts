/**
 * For tests: a reception that records what it is asked and answers as the address says, so that a
 * dialog can drive every path: `550-5.1.1@x` is answered 550 5.1.1, `slow@` a little later,
 * `throw@` and `reject@` fail, `patient@` wants the client to wait for 354, `later@` holds the message until `release` is called.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { Identity, Login } from "../auth/identity.ts";
import type { Reply } from "../outcome.ts";
import type { ListenerEvents, ProxyEvent } from "./events.ts";
import type {
  Body,
  Client,
  Greeting,
  MailCommand,
  RcptCommand,
  Reception,
  Transaction,
} from "./reception.ts";

import type { ShownCertificate } from "./tls-facts.ts";

export type Received = {
  readonly client: Client;
  readonly greeting: Greeting;
  readonly mail: MailCommand;
  readonly rcpts: readonly RcptCommand[];
  readonly body: Body;
  readonly text: string;
};

const early: Reply = { code: 554, status: "5.5.0", text: "as asked" };
const CODED = /^(\d{3})-(\d\.\d+\.\d+)@/;

/** Passwords by user. "broken" stands for a directory that cannot be asked, "throws" for a defect. */
export type Accounts = Readonly<Record<string, string>>;

/** A reception and a listener's events, both of which only write down what happens. */
export class Recorder implements Reception, ListenerEvents {
  readonly messages: Received[] = [];
  readonly log: string[] = [];
  readonly failures: Error[] = [];
  /** Whom the reception was asked about. */
  readonly clients: Client[] = [];
  /** Who connected to a PROXY twin. */
  readonly proxied: string[] = [];
  /** Transactions, and those that were given up. */
  begun = 0;
  aborted = 0;
  connectReply: Reply | undefined;
  readonly authenticate: Reception["authenticate"];
  #release: (() => void)[] = [];

  /** Without accounts AUTH is not offered. */
  constructor(accounts?: Accounts) {
    if (accounts === undefined) return;
    this.authenticate = async (_client, { mechanism, user, secret }) => {
      this.log.push(`${mechanism} ${user}`);
      if (accounts[user] === "throws") throw new Error("authenticate threw");
      if (accounts[user] === "broken") return { kind: "unavailable", why: "as asked" };
      if (accounts[user] !== secret) return { kind: "invalid" };
      const identity = { kind: "user", name: user, namespace: "", senders: undefined } as const;
      const standing = { kind: "holds", identity } as const;
      return { kind: "authenticated", login: { identity, standing: () => standing } };
    };
  }

  /**
   * "once" and "slow-once" for one MAIL, others always; "slow" ones a little later, "later" at `release`;
   * "changing" is another each time; "defect" throws.
   */
  identify(_client: Client, { identity }: Login): Identity | Reply | Promise<Identity | Reply> {
    const { name } = identity;
    this.log.push(`identify ${name}`);
    if (name === "defect") throw new Error("identify threw");
    if (name === "late-defect") return Promise.reject(new Error("identify rejected"));
    const times = this.log.filter((line) => line === `identify ${name}`).length;
    if (name === "changing") return { ...identity, name: `${name} ${times}` };
    const isOver = name.endsWith("once") && times > 1;
    const answer = isOver ? { code: 421, status: "4.7.0", text: "log in again" } : identity;
    if (name === "later") return this.#held().then(() => answer);
    return name.startsWith("slow") ? wait(20, answer) : answer;
  }

  /** Lets every message to `later@` be answered, and the user "later" be known. */
  release(): void {
    for (const go of this.#release.splice(0)) go();
  }

  get held(): number {
    return this.#release.length;
  }

  async #held(): Promise<void> {
    await new Promise<void>((resolve) => this.#release.push(resolve));
  }

  connect(client: Client): Reply | undefined {
    this.clients.push(client);
    return this.connectReply;
  }

  mail(client: Client, greeting: Greeting, mail: MailCommand): Transaction | Reply {
    const coded = replyOf(mail.path);
    if (coded !== undefined) return coded;
    if (mail.path.startsWith("throw@")) throw new Error("mail threw");
    const rcpts: RcptCommand[] = [];
    this.begun += 1;
    return {
      accepted: { code: 250, status: "2.1.0", text: "Sender OK" },
      rcpt: (command) => {
        const answer = this.#rcpt(command);
        if (!("code" in answer) || answer.code === 250) rcpts.push(command);
        return answer;
      },
      data: ({ input }) => {
        if (input === "early" && rcpts[0]?.path.startsWith("patient@")) return early;
        return replyOf(rcpts.find(({ path }) => path.startsWith("data-"))?.path.slice(5) ?? "");
      },
      message: async (body) => {
        const text = Buffer.concat(body.chunks).toString("latin1");
        this.log.push(`from ${greeting.identity?.name ?? "nobody"}`);
        this.messages.push({ client, greeting, mail, rcpts, body, text });
        return await this.#message(rcpts[0]?.path ?? "");
      },
      abort: () => {
        this.aborted += 1;
      },
    };
  }

  opened(): void {
    this.log.push("opened");
  }

  /** Of `Reception` and of `ListenerEvents`. */
  closed(_client: Client, session?: { readonly messages: number }): void {
    this.log.push(session === undefined ? "reception closed" : `closed ${session.messages}`);
  }

  turnedAway(): void {
    this.log.push("turnedAway");
  }

  refused(_client: Client, reason: string): void {
    this.log.push(`refused ${reason}`);
  }

  limit(_client: Client, limit: string): void {
    this.log.push(`limit ${limit}`);
  }

  clientCertificate(_client: Client, { result, name }: ShownCertificate): void {
    this.log.push(`certificate ${result} ${name}`);
  }

  proxy({ address, result }: ProxyEvent): void {
    this.log.push(`proxy ${result}`);
    this.proxied.push(address);
  }

  failed(error: Error, source: string): void {
    this.log.push(`failed ${source}`);
    this.failures.push(error);
  }

  #rcpt({ path }: RcptCommand): Reply | Promise<Reply> {
    const coded = replyOf(path);
    if (coded !== undefined) return coded;
    if (path.startsWith("throw@")) throw new Error("rcpt threw");
    if (path.startsWith("reject@")) return Promise.reject(new Error("rcpt rejected"));
    const ok = { code: 250, status: "2.1.5", text: "Recipient OK" };
    return path.startsWith("slow@") ? wait(20, ok) : ok;
  }

  async #message(first: string): Promise<Reply> {
    if (first.startsWith("fail-message@")) throw new Error("message rejected");
    if (first.startsWith("later@")) await this.#held();
    const coded = first.startsWith("message-") ? replyOf(first.slice(8)) : undefined;
    return coded ?? { code: 250, status: "2.0.0", text: "Queued" };
  }
}

function replyOf(path: string): Reply | undefined {
  const [, code, status] = CODED.exec(path) ?? [];
  if (code === undefined || status === undefined) return undefined;
  return { code: Number(code), status, text: "as asked" };
}
