/**
 * Delivery status notifications: RFC 3464 inside multipart/report (RFC 6522), RFC 6533 where an
 * address is outside ASCII. Pure: nothing in here knows the time, and no text that came from elsewhere
 * can begin a header or a part. Sending it from <> is the caller's matter.
 */
import type { Reply } from "../outcome.ts";
import { isAscii } from "./commands.ts";
import { explain } from "./dsn-text.ts";

/** RFC 3464 section 2.3.3. */
export type DsnAction = "failed" | "delayed" | "relayed" | "delivered";

export type DsnRecipient = {
  readonly address: string;
  readonly action: DsnAction;
  readonly reply: Reply;
  /** "host:port" of the next hop that said so. */
  readonly hop?: string;
  /** RFC 3461 ORCPT as given, "rfc822;..." */
  readonly originalRecipient?: string;
  readonly lastAttemptAt?: Date;
  readonly retryUntil?: Date;
};

export type Dsn = {
  readonly reportingHostname: string;
  /** The postmaster's address, shown as MAILER-DAEMON. */
  readonly from: string;
  readonly to: string;
  readonly now: Date;
  /** The report's own id: the left part of its Message-ID. */
  readonly id: string;
  readonly original: {
    readonly sender: string;
    readonly arrivedAt: Date;
    readonly envid?: string;
    /** What `content` is: the whole message, or its header as `headerBlock` cuts it. */
    readonly returned: "message" | "header";
    readonly content: Uint8Array;
  };
  readonly recipients: readonly DsnRecipient[];
  /** Random, unguessable, of letters, digits and hyphens. */
  readonly boundary: string;
};

const lineTextMax = 900;

/** CRLF lines, ends with CRLF. 8-bit octets only where the original headers or `to` have some. */
export function buildDsn(dsn: Dsn): Uint8Array {
  if (!/^[A-Za-z0-9-]{8,60}$/.test(dsn.boundary)) throw new TypeError("no MIME boundary");
  const utf8 = !isAscii(dsn.to);
  const { returned, content } = dsn.original;
  const eightBitContent = content.some((octet) => octet > 0x7f);
  const head = [
    ...topLines(dsn, utf8 || eightBitContent),
    "",
    "This is a delivery report in MIME format.",
    `--${dsn.boundary}`,
    `Content-Type: text/plain; charset=${utf8 ? "utf-8" : "us-ascii"}`,
    `Content-Transfer-Encoding: ${utf8 ? "8bit" : "7bit"}`,
    "",
    ...textLines(dsn, utf8),
    `--${dsn.boundary}`,
    `Content-Type: message/${utf8 ? "global-delivery-status" : "delivery-status"}`,
    `Content-Transfer-Encoding: ${utf8 ? "8bit" : "7bit"}`,
    "",
    ...statusLines(dsn, utf8),
    `--${dsn.boundary}`,
    `Content-Type: ${contentType(returned, utf8)}`,
    `Content-Transfer-Encoding: ${utf8 || eightBitContent ? "8bit" : "7bit"}`,
    "",
    "",
  ];
  return Buffer.concat([
    Buffer.from(head.join("\r\n"), "utf8"),
    content,
    Buffer.from(`\r\n--${dsn.boundary}--\r\n`, "latin1"),
  ]);
}

function contentType(returned: "message" | "header", utf8: boolean): string {
  if (returned === "message") return utf8 ? "message/global" : "message/rfc822";
  return utf8 ? "message/global-headers" : "text/rfc822-headers";
}

/** Of several the gravest says what the report is about. */
const subjects: readonly (readonly [action: DsnAction, subject: string])[] = [
  ["failed", "Undelivered mail returned to sender"],
  ["delayed", "Delayed mail, still being tried"],
  ["relayed", "Mail passed on"],
  ["delivered", "Mail delivered"],
];

function topLines(dsn: Dsn, eightBit: boolean): readonly string[] {
  const isAbout = (action: DsnAction) => dsn.recipients.some((each) => each.action === action);
  const [, subject = ""] = subjects.find(([action]) => isAbout(action)) ?? [];
  const clean = isAscii(dsn.to) ? ascii : oneLine;
  const report = isAscii(dsn.to) ? "delivery-status" : "global-delivery-status";
  return [
    `From: Mail Delivery System <${clean(dsn.from)}>`,
    `To: <${clean(dsn.to)}>`,
    `Subject: ${subject}`,
    `Date: ${mailDate(dsn.now)}`,
    `Message-ID: <${ascii(dsn.id)}@${ascii(dsn.reportingHostname)}>`,
    "Auto-Submitted: auto-replied",
    "MIME-Version: 1.0",
    `Content-Type: multipart/report; report-type=${report};`,
    `\tboundary="${dsn.boundary}"`,
    ...(eightBit ? ["Content-Transfer-Encoding: 8bit"] : []),
  ];
}

function textLines(dsn: Dsn, utf8: boolean): readonly string[] {
  const clean = utf8 ? oneLine : ascii;
  const told = dsn.recipients.map((one) => ({
    ...one,
    address: utf8 ? one.address : xtext(one.address),
  }));
  return [...explain(told, dsn.reportingHostname).map(clean), ""];
}

/** RFC 3464 section 2: one block for the message, one for each recipient. */
function statusLines(dsn: Dsn, utf8: boolean): readonly string[] {
  const { envid, arrivedAt } = dsn.original;
  const lines = [`Reporting-MTA: dns; ${ascii(dsn.reportingHostname)}`];
  if (envid !== undefined) lines.push(`Original-Envelope-Id: ${ascii(envid)}`);
  lines.push(`Arrival-Date: ${mailDate(arrivedAt)}`, "");
  for (const recipient of dsn.recipients) lines.push(...recipientLines(recipient, utf8), "");
  return lines;
}

function recipientLines(recipient: DsnRecipient, utf8: boolean): readonly string[] {
  const { address, action, reply, hop, originalRecipient } = recipient;
  const { lastAttemptAt, retryUntil } = recipient;
  const lines: string[] = [];
  if (originalRecipient !== undefined)
    lines.push(`Original-Recipient: ${ascii(originalRecipient)}`);
  lines.push(`Final-Recipient: ${typedAddress(address, utf8)}`, `Action: ${action}`);
  lines.push(`Status: ${statusFor(action, reply)}`);
  if (hop !== undefined) lines.push(`Remote-MTA: dns; ${ascii(hostOf(hop))}`);
  const diagnostic = `${reply.code} ${reply.status} ${reply.text}`;
  // "smtp" is for what an SMTP server said (RFC 3464 section 2.3.6); ours is ours.
  lines.push(
    `Diagnostic-Code: ${hop === undefined ? "x-mailroute" : "smtp"}; ${ascii(diagnostic)}`,
  );
  if (lastAttemptAt !== undefined) lines.push(`Last-Attempt-Date: ${mailDate(lastAttemptAt)}`);
  if (retryUntil !== undefined && action === "delayed") {
    lines.push(`Will-Retry-Until: ${mailDate(retryUntil)}`);
  }
  return lines;
}

const classes: Readonly<Record<DsnAction, number>> = {
  failed: 5,
  delayed: 4,
  relayed: 2,
  delivered: 2,
};

/** The class says what became of it, whatever the last reply was: an expired 4.4.1 has failed. */
function statusFor(action: DsnRecipient["action"], reply: Reply): string {
  const match = /^[245](\.\d{1,3}\.\d{1,3})$/.exec(reply.status);
  return `${classes[action]}${match?.[1] ?? ".0.0"}`;
}

function hostOf(hop: string): string {
  return hop.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}

/** RFC 6533 section 3: as it is where the report may hold UTF-8, else as \x{..} escapes. */
function typedAddress(address: string, utf8: boolean): string {
  if (isAscii(address)) return `rfc822; ${ascii(address)}`;
  return `utf-8; ${utf8 ? oneLine(address) : xtext(address)}`;
}

function xtext(address: string): string {
  let text = "";
  for (const character of address) {
    const code = character.codePointAt(0) ?? 0;
    text += code > 0x7f ? `\\x{${code.toString(16).toUpperCase()}}` : character;
  }
  return ascii(text);
}

/** One line of printable ASCII; what is not becomes "?". */
function ascii(text: string): string {
  return text.slice(0, lineTextMax).replace(/[^\x20-\x7e]/g, "?");
}

/** One line, whatever the letters. */
function oneLine(text: string): string {
  return text.slice(0, lineTextMax).replace(/[\p{Cc}\u2028\u2029]/gu, "?");
}

/** RFC 5322 section 3.3, always in UTC. */
function mailDate(date: Date): string {
  return date.toUTCString().replace(/GMT$/, "+0000");
}
