/**
 * The protocol state of one session: which command may come now and what it is answered
 * (RFC 5321 sections 3 and 4). Knows no sockets, timers or buffers: takes command lines and whole
 * bodies, gives steps. Decides nothing about who may send what; that is the reception's.
 */
import type { Identity } from "../auth/identity.ts";
import type { Reply } from "../outcome.ts";
import { Authentication } from "./authentication.ts";
import { parseChunkSize } from "./chunk-reader.ts";
import { parseMail, parseRcpt } from "./command.ts";
import type { LineFault } from "./command-line.ts";
import type { ListenerLimits } from "./limits.ts";
import { Pace } from "./pace.ts";
import { rareCommand } from "./rare-command.ts";
import type {
  Body,
  Client,
  ClientInput,
  Greeting,
  MailCommand,
  Reception,
  Transaction,
} from "./reception.ts";
import * as S from "./step.ts";

type Step = S.Step;
type Answer = Step | Promise<Step>;
/** What a line comes to: of BDAT the answer comes after its octets. */
type LineAnswer = Answer | S.Chunk;

export type DialogueOptions = {
  readonly client: Client;
  readonly reception: Reception;
  readonly limits: ListenerLimits;
  readonly hostname: string;
  /** STARTTLS can be offered. */
  readonly startTls: boolean;
  /** MAIL is for clients with a login or a listed certificate only, and nobody authenticates in clear. */
  readonly authentication: "Required" | undefined;
  /** Resolves after so many ms: answers to who only talks come slowly. */
  readonly pause: (ms: number) => Promise<void>;
  /** A hook of the reception threw: the client got 451 4.3.0. */
  readonly failed: (error: unknown) => void;
};

type Open = {
  readonly transaction: Transaction;
  readonly smtputf8: boolean;
  accepted: number;
  asked: number;
  /** The first BDAT has come. */
  inChunks: boolean;
};

const HELO_NAME = /^[\x21-\x7e]{1,255}$/;

export class Dialogue {
  readonly #options: DialogueOptions;
  #greeting: Greeting | undefined;
  #tls: Greeting["tls"];
  #open: Open | undefined;
  /** A chunk of the last transaction was refused, and others may follow that were sent before. */
  #hasFailed = false;
  /** MAIL was refused by no fault of its own, and what was sent with it may still come. */
  #isMailRefused = false;
  readonly #authentication: Authentication;
  readonly #pace = new Pace();
  #ended = false;

  constructor(options: DialogueOptions) {
    this.#options = options;
    this.#authentication = new Authentication(options);
  }

  /** A transaction has begun and not ended. */
  get inTransaction(): boolean {
    return this.#open !== undefined;
  }

  /** A message is coming in by BDAT and is not at its end. */
  get inChunks(): boolean {
    return this.#open?.inChunks === true;
  }

  /** TLS is up: what was said before it is forgotten (RFC 3207 section 4.2). */
  secured(tls: NonNullable<Greeting["tls"]>): void {
    this.abort();
    this.#authentication.abandon();
    this.#greeting = undefined;
    this.#tls = tls;
  }

  /** The connection is gone: nothing begins any more. */
  end(): void {
    this.#ended = true;
    this.abort();
  }

  /** Ends the open transaction, if there is one. */
  abort(): void {
    const open = this.#open;
    this.#open = undefined;
    this.#hasFailed = false;
    this.#isMailRefused = false;
    if (open === undefined) return;
    try {
      open.transaction.abort();
    } catch (error) {
      this.#options.failed(error);
    }
  }

  /** A line that is no command. An open AUTH exchange is over with it. */
  malformed(fault: LineFault): Step {
    this.#authentication.abandon();
    return S.LINE_FAULTS[fault];
  }

  command(line: string, input: ClientInput): LineAnswer {
    const answer = this.#answer(line, input);
    return "reply" in answer ? this.paced(answer) : answer;
  }

  /** The same step, perhaps a little later. */
  paced(step: Step): Answer {
    const waitMs = this.#pace.waitMs(step);
    return waitMs === 0 ? step : this.#options.pause(waitMs).then(() => step);
  }

  #answer(line: string, input: ClientInput): LineAnswer {
    if (this.#authentication.isOpen) return this.#authentication.next(line);
    const space = line.indexOf(" ");
    const verb = (space < 0 ? line : line.slice(0, space)).toUpperCase();
    const argument = space < 0 ? "" : line.slice(space + 1).trim();
    switch (verb) {
      case "MAIL":
        return this.#answered(this.#mail(argument));
      case "RCPT":
        return this.#rcpt(argument);
      case "DATA":
        return this.#data(argument, input);
      case "BDAT":
        return this.#bdat(argument);
      case "EHLO":
      case "HELO":
        return this.#hello(argument, verb);
      case "RSET":
        if (argument !== "") return S.C501Argument;
        this.abort();
        return S.C250Reset;
      case "NOOP":
        return S.C250Noop;
      case "QUIT":
        return argument === "" ? S.C221Bye : S.C501Argument;
      case "STARTTLS":
        return this.#startTls(argument);
      case "AUTH":
        return this.#auth(argument);
      default:
        return rareCommand(verb, argument);
    }
  }

  /** The body has come in whole. After this the transaction is over, whatever the answer. */
  message(body: Body): Answer {
    const open = this.#open;
    if (open === undefined) return S.C503Mail;
    if (body.faults.longestLine > this.#options.limits.lineBytesMax) {
      return this.unfit(S.C554BodyLine);
    }
    this.#open = undefined;
    this.#pace.messageReceived();
    try {
      return open.transaction.message(body).then(asStep, (error: unknown) => this.#failure(error));
    } catch (error) {
      return this.#failure(error);
    }
  }

  /** The body cannot be taken: ends the transaction with this step. */
  unfit(step: Step): Step {
    const { inChunks } = this;
    this.abort();
    this.#hasFailed = inChunks;
    return step;
  }

  #hello(argument: string, verb: "EHLO" | "HELO"): Step {
    if (!HELO_NAME.test(argument)) return S.C501Hello;
    this.abort();
    const esmtp = verb === "EHLO";
    this.#greeting = {
      helo: argument,
      esmtp,
      ...(this.#tls === undefined ? {} : { tls: this.#tls }),
    };
    const { hostname } = this.#options;
    const text = esmtp ? [hostname, ...this.#extensions()].join("\n") : hostname;
    return { reply: { code: 250, status: "", text } };
  }

  /** What EHLO announces: exactly what works. */
  #extensions(): string[] {
    const { limits, startTls } = this.#options;
    const { offer } = this.#authentication;
    return [
      "PIPELINING",
      `SIZE ${limits.messageBytesMax}`,
      "8BITMIME",
      "SMTPUTF8",
      "ENHANCEDSTATUSCODES",
      "DSN",
      "CHUNKING",
      ...(startTls && this.#tls === undefined ? ["STARTTLS"] : []),
      ...(offer !== undefined && this.#tls !== undefined ? [offer] : []),
    ];
  }

  #startTls(argument: string): Step {
    if (!this.#options.startTls) return S.C502Unsupported;
    if (argument !== "") return S.C501Argument;
    return this.#tls === undefined ? S.C220Tls : S.C503Tls;
  }

  /** RFC 4954 section 4: after EHLO, over TLS, once, and not within a transaction. */
  #auth(argument: string): Answer {
    if (this.#authentication.offer === undefined) return S.C502Unsupported;
    if (this.#greeting?.esmtp !== true) return S.C503Hello;
    if (this.#open !== undefined) return S.C503Nested;
    if (this.#authentication.login !== undefined) return S.C503Authenticated;
    if (this.#tls === undefined) return S.C538Encryption;
    return this.#authentication.begin(argument);
  }

  #mail(argument: string): Answer {
    const { client, reception, limits, authentication } = this.#options;
    if (this.#greeting === undefined) return S.C503Hello;
    const { login } = this.#authentication;
    // A listed certificate says who the client is as well (the EXTERNAL of RFC 4422, without asking for it).
    const isKnown = login !== undefined || this.#tls?.clientName !== undefined;
    if (authentication === "Required" && !isKnown) {
      return this.#tls === undefined ? S.C530StartTls : S.C530Authentication;
    }
    if (this.#open !== undefined) return S.C503Nested;
    const command = parseMail(argument, limits);
    if ("reply" in command) return command;
    if (login === undefined) return this.#transaction(command, this.#greeting);
    try {
      const now = reception.identify?.(client, login) ?? login.identity;
      if (!(now instanceof Promise)) return this.#mailOf(now, command);
      return now.then(
        (identity) => this.#mailOf(identity, command),
        (error: unknown) => this.#failure(error),
      );
    } catch (error) {
      return this.#failure(error);
    }
  }

  /** The answer to MAIL, kept in mind for what was sent with it. */
  #answered(answer: Answer): Answer {
    if (answer instanceof Promise) return answer.then((step) => this.#answered(step));
    this.#isMailRefused = answer.reply.code >= 400 && !S.isError(answer);
    return answer;
  }

  /** What needs a transaction, and there is none. */
  get #unopened(): Step {
    if (this.#greeting === undefined) return S.C503Hello;
    return this.#isMailRefused ? S.C503Refused : S.C503Mail;
  }

  /** MAIL of who has authenticated; a reply is what he is answered instead. */
  #mailOf(now: Identity | Reply, command: MailCommand): Step {
    if ("code" in now) return { reply: now };
    const greeting = this.#greeting;
    if (greeting === undefined || this.#ended) return S.C451Local;
    // The same object for all messages of one EHLO and identity.
    const known = greeting.identity === now ? greeting : { ...greeting, identity: now };
    this.#greeting = known;
    return this.#transaction(command, known);
  }

  #transaction(command: MailCommand, greeting: Greeting): Step {
    const { client, reception } = this.#options;
    try {
      const answer = reception.mail(client, greeting, command);
      if ("code" in answer) return { reply: answer };
      const { smtputf8 } = command;
      this.#open = { transaction: answer, smtputf8, accepted: 0, asked: 0, inChunks: false };
      this.#hasFailed = false;
      return { reply: answer.accepted };
    } catch (error) {
      return this.#failure(error);
    }
  }

  #rcpt(argument: string): Answer {
    const open = this.#open;
    if (open === undefined) return this.#unopened;
    if (open.inChunks) return S.C503Chunks;
    const command = parseRcpt(argument, open);
    if ("reply" in command) return command;
    open.asked += 1;
    if (open.accepted >= this.#options.limits.recipientsMax) return S.C452Recipients;
    try {
      const answer = open.transaction.rcpt(command);
      if ("code" in answer) return counted(open, answer);
      return answer.then(
        (reply) => counted(open, reply),
        (error: unknown) => this.#failure(error),
      );
    } catch (error) {
      return this.#failure(error);
    }
  }

  #data(argument: string, input: ClientInput): Step {
    const refusal = this.#dataRefusal(argument, input);
    if (refusal === undefined) return GO;
    // What has come already is a body: its lines must never run as commands.
    return input === "early" ? { ...refusal, next: "close" } : refusal;
  }

  #dataRefusal(argument: string, input: ClientInput): Step | undefined {
    if (argument !== "") return S.C501Argument;
    return this.inChunks ? S.C503Chunks : this.#begin(input);
  }

  /** RFC 3030 section 2. A chunk that is refused comes in all the same. */
  #bdat(argument: string): Step | S.Chunk {
    const size = parseChunkSize(argument);
    if (size === undefined) return S.C501Chunk;
    if (this.inChunks) return size;
    if (this.#hasFailed) return { ...size, refusal: S.C503Failed };
    if (this.#greeting?.esmtp === false) return { ...size, refusal: S.C503Hello };
    const { inTransaction } = this;
    const refusal = this.#begin("waiting");
    if (refusal !== undefined) {
      this.abort();
      this.#hasFailed = inTransaction;
      return { ...size, refusal };
    }
    if (this.#open !== undefined) this.#open.inChunks = true;
    return size;
  }

  /** Whether the message may come; a step is the refusal. */
  #begin(input: ClientInput): Step | undefined {
    const open = this.#open;
    if (open === undefined) return this.#unopened;
    if (open.accepted === 0) return open.asked === 0 ? S.C503Rcpt : S.C554Recipients;
    try {
      const refused = open.transaction.data({ input });
      if (refused === undefined) return undefined;
      this.abort();
      return { reply: refused };
    } catch (error) {
      this.abort();
      return this.#failure(error);
    }
  }

  #failure(error: unknown): Step {
    this.#options.failed(error);
    return S.C451Local;
  }
}

const GO: Step = { ...S.C354Go, next: "data" };

function counted(open: Open, reply: Reply): Step {
  if (reply.code < 250 || reply.code > 259) {
    // What is deferred is nobody's guess: only a final no tells who is not there.
    return reply.code >= 500 ? { reply, recipient: "refused" } : { reply };
  }
  open.accepted += 1;
  return { reply, recipient: "accepted" };
}

function asStep(reply: Reply): Step {
  return { reply, message: reply.code === 250 ? "accepted" : "refused" };
}
