/**
 * One SMTP or LMTP connection to a next hop: nodemailer's SMTPConnection for greeting, EHLO, STARTTLS,
 * AUTH and reply lines; the transaction is ours. The only file that knows nodemailer's insides and its
 * error shapes: everything leaves it as a Transcript or a Trouble. Decides nothing about hosts or
 * recipients, and starts no timer for a message: `expire` is called by the pool's sweep.
 */
import type { Socket } from "node:net";
import type { ConnectionOptions, TLSSocket } from "node:tls";
import SMTPConnection from "nodemailer/lib/smtp-connection";
import { assertNever, type Reply } from "../outcome.ts";
import { type Extensions, type Letter, noExtensions, parseExtensions } from "./commands.ts";
import type { Transcript } from "./fate.ts";
import { type Login, type Mechanism, xoauth2 } from "./login.ts";
import { type HopLimits, longestSilenceMs } from "./options.ts";
import { closing, decode, deferred, garbled, parseReply, type Trouble, unfit } from "./reply.ts";
import { stuff } from "./stuffing.ts";
import { Transaction } from "./transaction.ts";

export type NextHopOptions = {
  /** Connected, nothing read yet. */
  readonly socket: Socket;
  /** "host:port", for texts. */
  readonly hop: string;
  readonly host: string;
  readonly heloName: string;
  readonly protocol: "SMTP" | "LMTP";
  readonly startTls: "never" | "if-offered" | "always";
  readonly tls: ConnectionOptions;
  readonly login?: Login;
  readonly limits: HopLimits;
  readonly now: () => number;
};

type Told = (transcript: Transcript) => void;
type RawError = Error & { readonly response?: string | undefined };

/** The parts of nodemailer 10.6.0 used here beyond its types; the wire tests hold it to them. */
declare class Internals extends SMTPConnection {
  override _socket: Socket;
  _destroyed: boolean;
  _responseQueue: string[];
  _responseActions: ((raw: string) => void)[];
  _supportedAuth: string[];
  _clearPhase(): void;
  _destroy(): void;
}
const Base = SMTPConnection as unknown as typeof Internals;

const sliceBytes = 1_048_576;
const silent = { level() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {}, fatal() {} };

export class NextHop extends Base {
  readonly hop: string;
  /** Transactions begun on this connection. */
  messages = 0;
  /** How it has logged in. */
  mechanism: Mechanism | undefined;
  /** When it was put back; kept by the pool. */
  idleSince = 0;
  /** Called once, when this connection is of no further use to anybody. */
  onGone: (() => void) | undefined;
  private readonly settings: NextHopOptions;
  private extensions: Extensions = noExtensions;
  private opened: ((trouble: Trouble | undefined) => void) | undefined;
  private openTimer: NodeJS.Timeout | undefined;
  private current: Transaction | undefined;
  private told: Told | undefined;
  private deadline = Number.POSITIVE_INFINITY;
  private unsentBytes = 0;
  private wantsReset = false;

  constructor(settings: NextHopOptions) {
    const { limits } = settings;
    super({
      connection: settings.socket,
      host: settings.host,
      name: settings.heloName,
      lmtp: settings.protocol === "LMTP",
      secure: false,
      ignoreTLS: settings.startTls === "never",
      requireTLS: settings.startTls === "always",
      opportunisticTLS: settings.startTls === "if-offered",
      tls: settings.tls,
      greetingTimeout: limits.greetingMsMax,
      socketTimeout: 2 * longestSilenceMs(limits),
      maxResponseSize: limits.replyBytesMax,
      customAuth: { XOAUTH2: xoauth2 },
      logger: silent,
    });
    this.settings = settings;
    this.hop = settings.hop;
  }

  get announced(): Extensions {
    return this.extensions;
  }

  /** Of the message that it has, octets have gone out: to break off now may make a duplicate. */
  get isOnItsWay(): boolean {
    return this.current?.transcript.bodySent === true;
  }

  get usable(): boolean {
    return !this._destroyed && this._socket.writable && !this._socket.readableEnded;
  }

  /** The version, and whether the certificate is the host's; undefined: clear text. */
  get tls(): { readonly version: string; readonly verified: boolean } | undefined {
    const { authorized, getProtocol } = this._socket as Partial<TLSSocket>;
    const version = this.secure ? getProtocol?.call(this._socket) : undefined;
    return version ? { version, verified: authorized === true } : undefined;
  }

  /** Greeting, EHLO, STARTTLS, AUTH. Calls back once: undefined means ready for a transaction. */
  open(opened: (trouble: Trouble | undefined) => void): void {
    this.opened = opened;
    const { greetingMsMax, helloMsMax } = this.settings.limits;
    this.openTimer = setTimeout(() => this.overdue(), Math.max(greetingMsMax, helloMsMax));
    this.once("connect", () => this.authenticate());
    this.connect();
  }

  private authenticate(): void {
    const { login } = this.settings;
    const method = login?.mechanisms.find((name) => this.extensions.auth.includes(name));
    if (login === undefined) {
      this.ready();
    } else if (method === undefined) {
      const text = `${this.hop} offers no AUTH ${login.mechanisms.join(" or ")}`;
      this.fail(deferred("auth", "4.7.0", text));
    } else {
      this.login({ method, user: login.username, pass: login.secret }, (error) => {
        this.mechanism = method;
        if (error) this.fail(authTrouble(error));
        else this.ready();
      });
    }
  }

  private ready(): void {
    const { opened } = this;
    this.endOpening();
    opened?.(undefined);
  }

  private endOpening(): void {
    clearTimeout(this.openTimer);
    this.opened = undefined;
  }

  /** One message; calls back once. Check `letterTrouble` and the addresses first. */
  transact(letter: Letter, told: Told): void {
    const { extensions, wantsReset: reset } = this;
    const { protocol, limits } = this.settings;
    this.current = new Transaction(letter, { extensions, protocol, reset });
    this.told = told;
    this.messages += 1;
    this.unsentBytes = 0;
    this.due(limits.mailMsMax);
    this.write(this.current.begin());
  }

  /** Cuts the connection off where its peer has taken longer than the stage allows. */
  expire(now: number): void {
    if (now > this.deadline) this.overdue();
  }

  /** Cuts it off because we want to go. */
  abort(trouble: Trouble): void {
    this.fail(trouble);
  }

  override quit(): void {
    if (this.usable) this.write("QUIT\r\n");
    this.close();
  }

  private overdue(): void {
    const cause = this.upgrading ? "tls" : "timeout";
    this.fail(deferred(cause, "4.4.2", `${this.hop} took too long at ${this.stageName}`));
  }

  private get stageName(): string {
    if (this.upgrading) return "the TLS handshake";
    return this.current?.phase.toUpperCase() ?? "the greeting";
  }

  private due(ms: number): void {
    this.deadline = this.settings.now() + ms;
  }

  private write(text: string): void {
    this._socket.write(text, "utf8");
  }

  // ---- what nodemailer calls ----

  /** Instead of nodemailer's: checks every reply, and takes all that have come in one turn. */
  _processResponse(): void {
    while (this._responseQueue.length > 0 && !this._destroyed) {
      const raw = decode(this._responseQueue.shift() ?? "");
      const reply = parseReply(raw);
      if (reply === undefined) this.fail(garbled(this.hop, raw));
      else if (this.current !== undefined) this.step(this.current, reply);
      else if (this.opened !== undefined) this.openingReply(raw, reply);
      else this.close();
    }
  }

  private openingReply(raw: string, reply: Reply): void {
    const unasked = this._responseQueue[0];
    if (unasked !== undefined) {
      // Until it is open one command is said at a time: this is no answer to any.
      const next = parseReply(decode(unasked));
      this.fail(next?.code === 421 ? closing(next) : unfit(this.hop, "the greeting", reply));
      return;
    }
    this.openTimer?.refresh();
    this.lastServerResponse = raw;
    this._responseActions.shift()?.call(this, raw);
    if (reply.code === 421 && !this._destroyed) this.fail(closing(reply));
  }

  _parseEhloExtensions(raw: string): void {
    this.extensions = parseExtensions(raw);
    this._supportedAuth = [...this.extensions.auth];
  }

  /** A TLS handshake has a time of its own; the greeting has what is left of nothing else. */
  _remainingSetupTime(): number {
    return this.upgrading ? this.settings.limits.tlsMsMax : this.settings.limits.greetingMsMax;
  }

  _onError(error: RawError, type: string, response: string | false): void {
    this._clearPhase();
    if (this._destroyed) return;
    const reply = response === false ? undefined : parseReply(response);
    this.fail(this.troubleOf(error, type, reply));
  }

  private troubleOf(error: RawError, type: string, reply: Reply | undefined): Trouble {
    const text = `${this.hop}: ${error.message}`;
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (this.upgrading || type === "ETLS" || /^ERR_(SSL|TLS|OSSL)/.test(code)) {
      return deferred("tls", "4.7.5", text);
    }
    if (reply !== undefined && reply.code < 400) return unfit(this.hop, this.stageName, reply);
    if (reply !== undefined) return closing(reply);
    if (type === "ETIMEDOUT") return deferred("timeout", "4.4.2", text);
    if (type === "EPROTOCOL") return deferred("protocol", "4.5.0", text);
    return deferred("connect", "4.4.2", text);
  }

  /** A peer that has said its last word; whatever we wait for will not come. */
  _onEnd(): void {
    this._onClose();
  }

  _onClose(): void {
    if (this._destroyed) return;
    if (this.current === undefined && this.opened === undefined) {
      this.close();
      return;
    }
    const text = `${this.hop} closed the connection at ${this.stageName}`;
    this.fail(deferred(this.upgrading ? "tls" : "connect", "4.4.2", text));
  }

  override _destroy(): void {
    if (this._destroyed) return;
    super._destroy();
    this.onGone?.();
  }

  // ---- the transaction ----

  private step(transaction: Transaction, reply: Reply): void {
    if (this.isEarly(transaction, reply)) {
      this.fail(unfit(this.hop, this.stageName, reply));
      return;
    }
    const step = transaction.take(reply);
    switch (step.kind) {
      case "wait":
        this.due(this.stageMs(transaction));
        break;
      case "write":
        this.due(this.stageMs(transaction));
        this.write(step.text);
        break;
      case "body":
        this.sendBody(transaction.letter);
        break;
      case "done":
        // A refusal before the end of the message, or more answers than commands: out of step.
        this.finish(this.bytesLeft > 0 || this._responseQueue.length > 0 ? "close" : "keep");
        break;
      case "doneAndClose":
        this.finish("close");
        break;
      case "unfit":
        this.fail(unfit(this.hop, this.stageName, reply));
        break;
      default:
        assertNever(step);
    }
    // RFC 5321 section 3.8: after 421 the server closes, whatever it answered.
    if (reply.code === 421 && !this._destroyed) this.fail(closing(reply));
  }

  /** Nobody has taken a message that has not left us yet: such a 250 is no delivery. */
  private isEarly({ phase }: Transaction, { code }: Reply): boolean {
    if (phase === "final") return code < 400 && this.bytesLeft > 0;
    return phase === "data" && code === 354 && this._responseQueue.length > 0;
  }

  private stageMs({ phase }: Transaction): number {
    const { mailMsMax, rcptMsMax, dataMsMax, dataDoneMsMax } = this.settings.limits;
    if (phase === "rcpt") return rcptMsMax;
    if (phase === "data") return dataMsMax;
    return phase === "mail" || phase === "rset" ? mailMsMax : dataDoneMsMax;
  }

  private get bytesLeft(): number {
    return this.unsentBytes + this._socket.writableLength;
  }

  private sendBody({ prefix, body }: Letter): void {
    const chunks = prefix === undefined ? stuff(body) : [prefix, ...stuff(body)];
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    if (bytes > sliceBytes) {
      this.unsentBytes = bytes;
      this.sendSlices(chunks, 0, 0);
      return;
    }
    this.due(this.settings.limits.dataDoneMsMax);
    this._socket.cork();
    for (const chunk of chunks) this._socket.write(chunk);
    this._socket.uncork();
  }

  /** A big message goes slice by slice, so that a slow peer is told from a dead one. */
  private sendSlices(chunks: readonly Uint8Array[], chunk: number, offset: number): void {
    const from = chunks[chunk];
    if (from === undefined || this._destroyed) return;
    const slice = from.subarray(offset, offset + sliceBytes);
    const end = offset + slice.length;
    this.unsentBytes -= slice.length;
    this.due(this.settings.limits.dataBlockMsMax);
    this._socket.write(slice, () => {
      if (this.current === undefined) return;
      if (this.unsentBytes === 0) this.due(this.settings.limits.dataDoneMsMax);
      else if (end < from.length) this.sendSlices(chunks, chunk, end);
      else this.sendSlices(chunks, chunk + 1, 0);
    });
  }

  private finish(then: "keep" | "close"): void {
    const { current, told } = this.forget();
    this.wantsReset = current?.leavesOpen === true;
    if (then === "close") {
      this.close();
      this._socket.destroy();
    }
    if (current !== undefined) told?.(current.transcript);
  }

  private forget(): { current: Transaction | undefined; told: Told | undefined } {
    const { current, told } = this;
    this.current = undefined;
    this.told = undefined;
    this.deadline = Number.POSITIVE_INFINITY;
    return { current, told };
  }

  /** The end of this connection, told to whoever waits for it. */
  private fail(trouble: Trouble): void {
    const { opened } = this;
    this.endOpening();
    const { current, told } = this.forget();
    this.close();
    this._socket.destroy();
    opened?.(trouble);
    if (current === undefined) return;
    current.transcript.trouble = trouble;
    told?.(current.transcript);
  }
}

function authTrouble(error: RawError): Trouble {
  const reply = parseReply(error.response ?? "");
  if (reply === undefined) return deferred("auth", "4.7.0", error.message);
  return { kind: "deferred", cause: reply.code === 421 ? "reply" : "auth", reply };
}
