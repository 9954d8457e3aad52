/**
 * The dialog of one message: which command comes next after which reply (RFC 5321 section 3.3,
 * RFC 2920, RFC 2033). Pure but for its own state: it returns what is to be done, next-hop.ts does it,
 * and fate.ts reads the transcript afterwards.
 */
import { assertNever, type Reply } from "../outcome.ts";
import { type Extensions, type Letter, mailCommand, rcptCommand } from "./commands.ts";
import { emptyTranscript, isAccepted, type Transcript } from "./fate.ts";

export type Phase = "rset" | "mail" | "rcpt" | "data" | "empty" | "final";

export type Step =
  | { readonly kind: "wait" }
  | { readonly kind: "write"; readonly text: string }
  | { readonly kind: "body" }
  | { readonly kind: "done" }
  /** Done, but the connection's state is unknown: it must not be used again. */
  | { readonly kind: "doneAndClose" }
  /** A reply that makes no sense here. */
  | { readonly kind: "unfit" };

const wait: Step = { kind: "wait" };
const done: Step = { kind: "done" };
const doneAndClose: Step = { kind: "doneAndClose" };
const unfit: Step = { kind: "unfit" };
const body: Step = { kind: "body" };

export type TransactionOptions = {
  readonly extensions: Extensions;
  readonly protocol: "SMTP" | "LMTP";
  /** The transaction before was left open: RSET goes first. */
  readonly reset: boolean;
};

export class Transaction {
  readonly letter: Letter;
  readonly transcript: Transcript;
  phase: Phase;
  /** The next one on this connection must begin with RSET. */
  leavesOpen = false;
  private readonly extensions: Extensions;
  private readonly protocol: "SMTP" | "LMTP";
  private position = 0;

  constructor(letter: Letter, options: TransactionOptions) {
    this.letter = letter;
    this.transcript = {
      ...emptyTranscript(letter.recipients.length),
      dsn: options.extensions.dsn,
      stores: options.protocol === "LMTP",
    };
    this.extensions = options.extensions;
    this.protocol = options.protocol;
    this.phase = options.reset ? "rset" : "mail";
  }

  /** What opens the dialog: with PIPELINING the whole envelope and DATA in one piece. */
  begin(): string {
    const mail = mailCommand(this.letter, this.extensions);
    const reset = this.phase === "rset" ? "RSET\r\n" : "";
    if (!this.extensions.pipelining) return reset === "" ? mail : reset;
    let commands = reset + mail;
    for (const recipient of this.letter.recipients)
      commands += rcptCommand(this.letter, recipient, this.extensions);
    return `${commands}DATA\r\n`;
  }

  take(reply: Reply): Step {
    if (reply.code >= 300 && reply.code < 400 && this.phase !== "data") return unfit;
    switch (this.phase) {
      case "rset":
        return this.takeReset(reply);
      case "mail":
        return this.takeMail(reply);
      case "rcpt":
        return this.takeRcpt(reply);
      case "data":
        return this.takeData(reply);
      case "empty":
        return done;
      case "final":
        return this.protocol === "SMTP" ? this.takeFinal(reply) : this.takeOneFinal(reply);
      default:
        return assertNever(this.phase);
    }
  }

  private takeReset(reply: Reply): Step {
    if (!isAccepted(reply)) return unfit;
    this.phase = "mail";
    if (this.extensions.pipelining) return wait;
    return { kind: "write", text: mailCommand(this.letter, this.extensions) };
  }

  private takeMail(reply: Reply): Step {
    this.transcript.mail = reply;
    this.phase = "rcpt";
    if (this.extensions.pipelining) return wait;
    return isAccepted(reply) ? this.writeRcpt() : done;
  }

  private writeRcpt(): Step {
    const recipient = this.letter.recipients[this.position] as string;
    return { kind: "write", text: rcptCommand(this.letter, recipient, this.extensions) };
  }

  private takeRcpt(reply: Reply): Step {
    this.transcript.rcpt[this.position++] = reply;
    const more = this.position < this.letter.recipients.length;
    if (!more) this.phase = "data";
    if (this.extensions.pipelining) return wait;
    if (more) return this.writeRcpt();
    if (this.transcript.rcpt.some(isAccepted)) return { kind: "write", text: "DATA\r\n" };
    this.leavesOpen = true;
    return done;
  }

  private takeData(reply: Reply): Step {
    const { transcript } = this;
    transcript.data = reply;
    const mailTaken = isAccepted(transcript.mail);
    const someTaken = mailTaken && transcript.rcpt.some(isAccepted);
    if (reply.code >= 400) {
      this.leavesOpen = mailTaken;
      return done;
    }
    if (reply.code !== 354) return someTaken ? unfit : doneAndClose;
    if (someTaken) {
      this.phase = "final";
      this.position = -1;
      transcript.bodySent = true;
      return body;
    }
    if (!mailTaken || this.protocol === "LMTP") return doneAndClose;
    // RFC 2920 section 3.1: a server that takes DATA for nobody gets an empty message.
    this.phase = "empty";
    return { kind: "write", text: ".\r\n" };
  }

  private takeFinal(reply: Reply): Step {
    const { rcpt, finals } = this.transcript;
    for (let at = 0; at < rcpt.length; at++) if (isAccepted(rcpt[at])) finals[at] = reply;
    return done;
  }

  /** RFC 2033 section 4.2: one reply for each recipient accepted, in order. */
  private takeOneFinal(reply: Reply): Step {
    const { rcpt, finals } = this.transcript;
    this.position = nextAccepted(rcpt, this.position);
    finals[this.position] = reply;
    return nextAccepted(rcpt, this.position) === -1 ? done : wait;
  }
}

function nextAccepted(rcpt: readonly (Reply | undefined)[], after: number): number {
  return rcpt.findIndex((reply, at) => at > after && isAccepted(reply));
}
