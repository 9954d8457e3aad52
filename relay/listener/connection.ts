/**
 * One connection: smtp-server's socket handling (half-close, STARTTLS) under a dialogue of ours.
 * Owns the socket, the gathered replies, the counts and clocks of a session. Must not know SMTP
 * commands (dialogue.ts), how bytes become them (input-parser.ts) or policy (the reception).
 */
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { SMTPServer } from "smtp-server";
import { SMTPConnection, type SMTPConnectionOptions } from "smtp-server/lib/smtp-connection.js";
import { SMTPStream } from "smtp-server/lib/smtp-stream.js";
import type { Reply } from "../outcome.ts";
import type { LineFault } from "./command-line.ts";
import { Dialogue } from "./dialogue.ts";
import { InputParser, type ParserOwner } from "./input-parser.ts";
import { Intake } from "./intake.ts";
import { type Admission, type LimitName, networkOf } from "./limits.ts";
import type { ListenerContext } from "./listener-context.ts";
import { peerAddress } from "./peer.ts";
import type { Client } from "./reception.ts";
import { formatReply } from "./reply.ts";
import { SessionMeter } from "./session-meter.ts";
import * as S from "./step.ts";
import { tlsFacts } from "./tls-facts.ts";

type ConnectionOptions = {
  readonly server: SMTPServer;
  readonly socket: Socket;
  /** Session id and, where a PROXY header said them, the client's addresses. */
  readonly origin: SMTPConnectionOptions;
  /** Who connected in the client's stead. */
  readonly balancer: string | undefined;
  readonly context: ListenerContext;
  readonly admission: Admission;
  /** The socket is closed. */
  readonly gone: () => void;
};

/** Network trouble of the other side: the normal end of many connections. */
const QUIET = new Set(["ECONNRESET", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"]);
/** Stands in while the base class is under construction; gets no input. */
const NO_PARSER = new SMTPStream();

export class Connection extends SMTPConnection implements ParserOwner {
  readonly client: Client;
  readonly #context: ListenerContext;
  readonly #options: ConnectionOptions;
  /** The bound that this connection breaks by being there. */
  readonly #excess: LimitName | undefined;
  readonly #dialogue: Dialogue;
  #parser: InputParser;
  /** The outermost socket: the one to destroy, also in the middle of a TLS handshake. */
  #top: Socket;
  readonly #intake: Intake;
  #out = "";
  #greeted = false;
  #admitted = false;
  #busy = false;
  readonly #meter: SessionMeter;

  constructor(options: ConnectionOptions) {
    super(options.server, options.socket, options.origin);
    const { context, balancer } = options;
    this.#context = context;
    this.#options = options;
    this.#top = options.socket;
    this.#meter = new SessionMeter(context.limits, performance.now());
    this.client = {
      sessionId: this.id,
      address: peerAddress(this.remoteAddress),
      port: this.remotePort,
      listener: context.name,
      localAddress: this.localAddress,
      localPort: this.localPort,
      ...(balancer !== undefined && { balancer }),
    };
    this.#excess = options.admission.enter(this.client.address);
    this.#dialogue = new Dialogue({
      client: this.client,
      reception: context.reception,
      limits: context.limits,
      hostname: context.hostname,
      startTls: context.startTls,
      authentication: context.authentication,
      pause: context.pause,
      failed: (error) => context.events.failed(asError(error), "reception", this.client),
    });
    this.#intake = new Intake({
      dialogue: this.#dialogue,
      limits: context.limits,
      receiving: context.receiving,
      network: networkOf(this.client.address),
      exceeded: (limit) => context.events.limit(this.client, limit),
    });
    this.#parser = new InputParser(this, context.limits);
    this._parser = this.#parser;
  }

  override init(): void {
    this._setListeners(() => {
      if (this._socket instanceof TLSSocket) this.#secured(this._socket);
      const delayMs = this.#context.greetingDelayMs;
      if (delayMs === 0) this.#greet();
      else setTimeout(() => this.#greet(), delayMs).unref();
    });
  }

  /** Sends the client off unless a message of its is coming in or being answered. */
  retire(): void {
    if (!this.#busy && this.#intake.receivedBytes === undefined) this.#hangUp(S.C421Stopping);
  }

  destroy(): void {
    this.#top.destroy();
  }

  /** Looks at the clocks of this session; `now` is `performance.now()`. */
  sweep(now: number): void {
    if (this.#busy || this._closing) return;
    const { inTransaction } = this.#dialogue;
    const { receivedBytes } = this.#intake;
    const overdue = this.#meter.overdue(now, { inTransaction, receivedBytes });
    if (overdue === undefined) return;
    this.#context.events.limit(this.client, overdue);
    this.#hangUp(S.OVERDUE[overdue]);
  }

  // What the parser asks for.

  received(): void {
    this.#meter.active(performance.now());
    if (!this.#greeted) this.#take(S.C554Early);
  }

  command(line: string): Promise<void> | undefined {
    if (!this.#countCommand()) return undefined;
    const input = this.#parser.pipelined ? "early" : "waiting";
    const answer = this.#dialogue.command(line, input);
    if ("octets" in answer) {
      this.#parser.receive(this.#intake.chunk(answer));
      return undefined;
    }
    this.#intake.settle();
    if (!("reply" in answer)) return this.#wait(answer);
    this.#take(answer);
    // A message between two chunks kept the session; this command may have ended it.
    if (this.#context.stopping) this.retire();
    return undefined;
  }

  malformed(fault: LineFault): void {
    if (fault === "tooLong") this.#context.events.limit(this.client, "commandBytesMax");
    if (this.#countCommand()) this.#take(this.#dialogue.malformed(fault));
  }

  flooded(): void {
    this.#hangUp(S.C421Errors);
  }

  receiving(): void {
    const end = this.#intake.receiving();
    if (end !== undefined) this.#take(end);
  }

  arrived(): Promise<void> | undefined {
    const answer = this.#intake.arrived();
    if (!("reply" in answer)) return this.#wait(answer);
    this.#take(answer);
    if (this.#context.stopping) this.retire();
    return undefined;
  }

  flush(): void {
    const out = this.#out;
    if (out === "") return;
    this.#out = "";
    // During a handshake this would go out in clear between TLS records.
    if (!this._upgrading && this._socket.writable) this._socket.write(out, "latin1");
  }

  consumed(next: () => void): void {
    this.flush();
    this._whenWritable(next);
  }

  ended(): void {
    this.flush();
    this.close();
  }

  crashed(error: unknown): void {
    this.#context.events.failed(asError(error), "session", this.client);
    this.destroy();
  }

  // What the base class asks for.

  override _createParser(): SMTPStream {
    if (!(#dialogue in this)) return NO_PARSER;
    this.#parser = new InputParser(this, this.#context.limits);
    return this.#parser;
  }

  /** No timer per socket: the listener sweeps. The base class arms each socket that it makes. */
  override _armTimeout(socket: Socket = this._socket): void {
    if (socket === this.#top) return;
    this.#top = socket;
    socket.on("error", () => undefined);
  }

  override _resetSession(): void {
    // The session object of the base class is not used.
  }

  override _onError(error: Error & { code?: string | undefined }): void {
    const { events } = this.#context;
    if (this._upgrading) events.failed(error, "tls", this.client);
    else if (!QUIET.has(error.code ?? "")) events.failed(error, "socket", this.client);
    this.#top.destroy();
  }

  override _onClose(): void {
    if (this._closed) return;
    super._onClose();
    this.#intake.release();
    this.#dialogue.end();
    if (this.#admitted) {
      const ms = this.#meter.ageMs(performance.now());
      this.#told();
      this.#context.events.closed(this.client, { ms, messages: this.#meter.messages });
    }
    this.#options.admission.leave(this.client.address);
    this.#options.gone();
  }

  #greet(): void {
    if (this._closing || this._closed) return;
    if (this.client.address === "") {
      // Gone before it was accepted: nobody to ask the reception about.
      this.destroy();
      return;
    }
    const context = this.#context;
    const refusal = this.#excess === undefined ? this.#admit() : S.C421Connections;
    this.#greeted = true;
    if (this.#excess !== undefined) context.events.limit(this.client, this.#excess);
    if (refusal !== undefined) {
      this.#hangUp(refusal);
      return;
    }
    this.#out += `220 ${context.hostname} ESMTP\r\n`;
    this.flush();
    if (context.stopping) this.retire();
  }

  #admit(): Reply | undefined {
    const { reception, events } = this.#context;
    try {
      const refusal = reception.connect(this.client);
      if (refusal === undefined) {
        this.#admitted = true;
        events.opened(this.client);
      } else {
        events.turnedAway(this.client);
      }
      return refusal;
    } catch (error) {
      events.failed(asError(error), "reception", this.client);
      return S.C421Local;
    }
  }

  #told(): void {
    const { reception, events } = this.#context;
    try {
      reception.closed(this.client);
    } catch (error) {
      events.failed(asError(error), "reception", this.client);
    }
  }

  /** Counts a line from the client; false when it was one too many. */
  #countCommand(): boolean {
    if (this.#meter.command()) return true;
    this.#context.events.limit(this.client, "commandsPerSessionMax");
    this.#hangUp(S.C421Commands);
    return false;
  }

  async #wait(answer: Promise<S.Step>): Promise<void> {
    this.#busy = true;
    const step = await answer;
    this.#settle();
    this.#take(step);
    if (this.#context.stopping) this.retire();
  }

  #settle(): void {
    this.#busy = false;
    this.#meter.active(performance.now());
  }

  #take(step: S.Step): void {
    if (this._closing || this._closed) return;
    if (step.refused !== undefined && !this.#countRefusal(step.refused)) return;
    if (step.next === "tls") {
      this.#startTls(step);
      return;
    }
    if (step.message === "accepted") this.#meter.messageAccepted();
    if (step.recipient === "accepted" || step.chunk === "big") this.#meter.worked();
    if (step.recipient === "refused" && !this.#meter.recipientRefused()) {
      this.#context.events.limit(this.client, "refusedRecipientsMax");
      this.#hangUp(S.C421Recipients);
      return;
    }
    this.#out += formatReply(step.reply);
    if (step.next === "close" || step.reply.code === 421) {
      this.flush();
      this.close();
    } else if (step.next === "data") {
      this.#parser.receive(this.#intake.data());
    }
  }

  /** Tells of a refusal; false when it was one error too many. */
  #countRefusal(reason: S.Refusal): boolean {
    const { events } = this.#context;
    events.refused(this.client, reason);
    if (reason === "recipients") events.limit(this.client, "recipientsMax");
    if (reason === "body") events.limit(this.client, "lineBytesMax");
    if (!S.ERRORS.has(reason)) return true;
    if (this.#meter.error()) return true;
    events.limit(this.client, "errorsMax");
    this.#hangUp(S.C421Errors);
    return false;
  }

  #hangUp(reply: Reply): void {
    if (this._closing || this._closed) return;
    if (this._upgrading) {
      this.destroy();
      return;
    }
    this.#out += formatReply(reply);
    this.flush();
    this.close();
  }

  #startTls(step: S.Step): void {
    if (this.#parser.pipelined) {
      // Commands in clear that hope to run inside TLS (CVE-2011-0411).
      this.#take(S.C503Injection);
      return;
    }
    if (!this.#tlsReady()) {
      this.#take(S.C454Tls);
      return;
    }
    this.#out += formatReply(step.reply);
    this.flush();
    this.upgrade(
      () => undefined,
      () => this.#secured(this._socket),
    );
  }

  /** A certificate that cannot be loaded is found here, before the 220. */
  #tlsReady(): boolean {
    try {
      return this._server.secureContext.get("*") !== undefined;
    } catch (error) {
      this.#context.events.failed(asError(error), "tls", this.client);
      return false;
    }
  }

  #secured(socket: Socket): void {
    if (!(socket instanceof TLSSocket)) return;
    const facts = tlsFacts(socket, this.#context.clientNames);
    if (facts === undefined) {
      this.destroy();
      return;
    }
    const { tls, certificate } = facts;
    if (certificate) this.#context.events.clientCertificate(this.client, certificate);
    this.#dialogue.secured(tls);
    this.#intake.settle();
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
