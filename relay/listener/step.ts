/**
 * Every answer that the protocol side gives by itself, as values: the reply, what follows it, and
 * why it is a refusal. What policy answers comes from the reception and is not here. Enhanced codes
 * are those of RFC 3463 and RFC 5248; 3xx and the greeting carry none (RFC 2034 section 4).
 */
import type { Reply } from "../outcome.ts";
import type { ChunkSize } from "./chunk-reader.ts";
import type { LineFault } from "./command-line.ts";
import type { Overdue } from "./session-meter.ts";

/** Why the protocol side refused; a closed set, used as a metric label. */
export type Refusal =
  | "syntax"
  | "sequence"
  | "unknown"
  | "parameter"
  | "utf8"
  | "line"
  | "http"
  | "early"
  | "tls"
  | "authentication"
  | "size"
  | "recipients"
  | "body"
  | "memory";

/** One answer. `next` is what the connection does after the reply. */
export type Step = {
  readonly reply: Reply;
  readonly next?: "close" | "tls" | "data";
  readonly refused?: Refusal;
  /** What became of a well-formed RCPT. */
  readonly recipient?: "accepted" | "refused";
  /** What became of a whole message that the reception has seen. */
  readonly message?: "accepted" | "refused";
  /** An accepted chunk: a big one is work, small ones are commands to count. */
  readonly chunk?: "big" | "small";
};

/** So many octets follow, whatever they are; the answer comes after them (RFC 3030 section 2). */
export type Chunk = ChunkSize & {
  /** What it is answered, where it is not taken. */
  readonly refusal?: Step;
};

/** The refusals that are protocol errors of the client's and count as such. */
export const ERRORS: ReadonlySet<Refusal> = new Set([
  "syntax",
  "sequence",
  "unknown",
  "parameter",
  "utf8",
  "line",
  "authentication",
]);

/** Whether it counts as the client's error. */
export const isError = ({ refused }: Step): boolean => refused !== undefined && ERRORS.has(refused);

const step = (code: number, status: string, text: string): Step => ({
  reply: { code, status, text },
});
const refusal = (refused: Refusal, code: number, status: string, text: string): Step => ({
  reply: { code, status, text },
  refused,
});

export const C354Go = step(354, "", "End data with <CR><LF>.<CR><LF>");
export const C250Noop = step(250, "2.0.0", "OK");
export const C250Reset = step(250, "2.0.0", "Reset");
export const C214Help = step(214, "2.0.0", "See RFC 5321");
/** RFC 5321 section 7.3: neither confirms nor denies. */
export const C252Vrfy = step(
  252,
  "2.0.0",
  "Cannot verify, but will take mail and try to deliver it",
);
export const C221Bye: Step = { ...step(221, "2.0.0", "Bye"), next: "close" };
export const C220Tls: Step = { ...step(220, "2.0.0", "Ready to start TLS"), next: "tls" };

export const C451Local = step(451, "4.3.0", "Local error, try again later");
export const C454Tls = refusal("tls", 454, "4.7.0", "TLS not available for the moment");
/** RFC 3207 section 4. */
export const C530StartTls = refusal(
  "authentication",
  530,
  "5.7.0",
  "Must issue a STARTTLS command first",
);
/** RFC 4954 section 6. */
export const C530Authentication = refusal(
  "authentication",
  530,
  "5.7.0",
  "Authentication required",
);
/** RFC 4954 section 4. */
export const C538Encryption = refusal(
  "authentication",
  538,
  "5.7.11",
  "Encryption required: STARTTLS first",
);
export const C235Authenticated = step(235, "2.7.0", "Authenticated");
export const C535Credentials = refusal(
  "authentication",
  535,
  "5.7.8",
  "Authentication credentials invalid",
);
/** Never 535 for what is not the client's fault: mail programs throw the password away at that. */
export const C454Authentication = step(454, "4.7.0", "Cannot authenticate anybody now, try again");
export const C501Auth = refusal("syntax", 501, "5.5.4", "Syntax: AUTH mechanism [response]");
export const C501Exchange = refusal("syntax", 501, "5.5.2", "Cannot decode the response");
export const C501Cancelled = refusal("authentication", 501, "5.7.0", "Authentication cancelled");
export const C504Mechanism = refusal("parameter", 504, "5.5.4", "Mechanism not supported");
export const C503Authenticated = refusal("sequence", 503, "5.5.1", "Already authenticated");
export const C452Recipients = refusal("recipients", 452, "4.5.3", "Too many recipients");
export const C452Memory = refusal(
  "memory",
  452,
  "4.3.1",
  "Too much mail in arrival, try again later",
);

const C500Line = refusal("line", 500, "5.5.2", "Line too long");
const C500CrLf = refusal("line", 500, "5.5.2", "Bare CR or LF in a command");
const C500Control = refusal("line", 500, "5.5.2", "Control character in a command");
const C500Utf8 = refusal("utf8", 500, "5.5.2", "Not UTF-8");
export const C500Unknown = refusal("unknown", 500, "5.5.1", "Command not recognized");
export const C502Unsupported = refusal("unknown", 502, "5.5.1", "Command not implemented");
export const C501Hello = refusal("syntax", 501, "5.5.4", "Syntax: EHLO hostname");
export const C501Argument = refusal("syntax", 501, "5.5.4", "No argument allowed");
export const C501Vrfy = refusal("syntax", 501, "5.5.4", "Syntax: VRFY address");
export const C501Mail = refusal("syntax", 501, "5.5.2", "Syntax: MAIL FROM:<address>");
export const C501Rcpt = refusal("syntax", 501, "5.5.2", "Syntax: RCPT TO:<address>");
export const C501Sender = refusal("syntax", 501, "5.1.7", "Bad sender address syntax");
export const C501Recipient = refusal("syntax", 501, "5.1.3", "Bad recipient address syntax");
export const C501Parameter = refusal("parameter", 501, "5.5.4", "Bad parameter syntax");
export const C501Duplicate = refusal("parameter", 501, "5.5.4", "Parameter given twice");
export const C555Parameter = refusal("parameter", 555, "5.5.4", "Parameter not recognized");
/** RFC 6531 section 3.5. */
export const C553Utf8 = refusal("utf8", 553, "5.6.7", "Non-ASCII address needs SMTPUTF8");
export const C552Size = refusal("size", 552, "5.3.4", "Message too big");
export const C552Cut: Step = { ...C552Size, next: "close" };
export const C554BodyLine = refusal("body", 554, "5.6.0", "Line too long in the message");
export const C503Hello = refusal("sequence", 503, "5.5.1", "Send EHLO first");
export const C503Nested = refusal("sequence", 503, "5.5.1", "Transaction already begun");
export const C503Mail = refusal("sequence", 503, "5.5.1", "Send MAIL first");
/** No error of a client that pipelines (RFC 2920 section 3.1): MAIL was refused, and told so. */
export const C503Refused = step(503, "5.5.1", "MAIL was refused");
export const C503Rcpt = refusal("sequence", 503, "5.5.1", "Send RCPT first");
export const C503Tls = refusal("sequence", 503, "5.5.1", "TLS already active");
export const C503Injection: Step = {
  ...refusal("tls", 503, "5.5.1", "Nothing may follow STARTTLS"),
  next: "close",
};
/** Nobody knows which of the bytes that follow are commands. */
export const C501Chunk: Step = {
  ...refusal("syntax", 501, "5.5.4", "Syntax: BDAT octets [LAST]"),
  next: "close",
};
/** RFC 3030 section 2: DATA and BDAT do not mix, and the recipients were settled at the first chunk. */
export const C503Chunks = refusal("sequence", 503, "5.5.1", "BDAT has begun: send BDAT or RSET");
/** No error of a client that pipelines: it has not read yet that an earlier chunk was refused. */
export const C503Failed = step(503, "5.5.1", "An earlier chunk was refused: send RSET or MAIL");
/** No error of a client that pipelines: every RCPT was refused, and told so. */
export const C554Recipients = step(554, "5.5.1", "No valid recipients");
export const C554Early: Step = {
  ...refusal("early", 554, "5.5.1", "Wait for the greeting before sending"),
  next: "close",
};
export const C421Http: Step = { ...refusal("http", 421, "4.7.0", "This is SMTP"), next: "close" };

const BIG_CHUNK_OCTETS = 1024;
/** A chunk is in, and is not the last. */
export const chunkTaken = (octets: number): Step => ({
  ...step(250, "2.0.0", `${octets} octets received`),
  chunk: octets < BIG_CHUNK_OCTETS ? "small" : "big",
});

/** A 334 with base64 text, which may be empty (RFC 4954 section 4). */
export const challenge = (text: string): Step => step(334, "", text);

const closing = (status: string, text: string): Reply => ({ code: 421, status, text });
export const C421Local = closing("4.3.0", "Local error, try again later");
export const C421Connections = closing("4.7.0", "Too many connections, try again later");
export const C421Errors = closing("4.7.0", "Too many errors");
export const C421Commands = closing("4.7.0", "Too many commands");
export const C421Authentication: Step = {
  ...refusal("authentication", 421, "4.7.0", "Too many authentication failures"),
  next: "close",
};
export const C421Recipients = closing("4.7.0", "Too many refused recipients");
const C421Slow = closing("4.4.2", "Too slow, connect again when there is more bandwidth");
const C421Idle = closing("4.4.2", "Idle too long");
const C421Session = closing("4.7.0", "Session too long, connect again");
export const C421Stopping = closing("4.3.2", "Shutting down, connect again");

/** What a session is told whose time is up. */
export const OVERDUE: Readonly<Record<Overdue, Reply>> = {
  idleMsMax: C421Idle,
  sessionMsMax: C421Session,
  dataBytesPerSecondMin: C421Slow,
};

/** What a line that is no command is answered. */
export const LINE_FAULTS: Readonly<Record<LineFault, Step>> = {
  bareCr: C500CrLf,
  bareLf: C500CrLf,
  control: C500Control,
  utf8: C500Utf8,
  tooLong: C500Line,
};
