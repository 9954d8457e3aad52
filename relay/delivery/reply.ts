/**
 * Replies of a next hop, read and written: the text of one reply as it came in, its enhanced status
 * code, and the replies we make ourselves where no next hop said anything of use. Pure; undefined means
 * that what came is no SMTP reply.
 */
import type { DeferCause, Outcome, Reply } from "../outcome.ts";

/** An outcome that is not "delivered": what a host, a name or a connection has against us. */
export type Trouble = Exclude<Outcome, { kind: "delivered" }>;

const replyLine = /^([2-5]\d\d)(?:[ -](.*))?$/s;
const enhanced = /^[245]\.(\d{1,3})\.(\d{1,3})(?:\s+|$)/;
const unprintable = /[\p{Cc}\u2028\u2029]/gu;
const replyTextMax = 1000;

/** One reply, its lines joined by "\n". RFC 5321 section 4.2.1: each line carries the same code. */
export function parseReply(raw: string): Reply | undefined {
  if (raw.includes("\n")) return parseLines(raw.split("\n"));
  const match = replyLine.exec(raw);
  return match === null ? undefined : replyOf(match[1] as string, match[2] ?? "");
}

function parseLines(lines: readonly string[]): Reply | undefined {
  let code: string | undefined;
  let text = "";
  let firstText = "";
  for (const line of lines) {
    const match = replyLine.exec(line);
    if (match === null || (code !== undefined && match[1] !== code)) return undefined;
    const part = match[2] ?? "";
    if (code === undefined) {
      code = match[1] as string;
      firstText = part;
      text = part;
    } else if (text.length < replyTextMax) {
      const prefix = enhanced.exec(part);
      text += ` ${prefix !== null && firstText.startsWith(prefix[0]) ? part.slice(prefix[0].length) : part}`;
    }
  }
  return code === undefined ? undefined : replyOf(code, text);
}

/** RFC 3463: the class always follows the reply code, whatever a server writes. */
function replyOf(code: string, text: string): Reply {
  const match = enhanced.exec(text);
  const status = match === null ? `${code[0]}.0.0` : `${code[0]}.${match[1]}.${match[2]}`;
  const rest = match === null ? text : text.slice(match[0].length);
  return { code: Number(code), status, text: cleanText(rest) };
}

/** One line of at most 1000 characters without controls: fit for logs, status texts and DSNs. */
function cleanText(text: string): string {
  return text.slice(0, replyTextMax).replace(unprintable, " ").trim();
}

export function deferred(cause: DeferCause, status: string, text: string): Trouble {
  return { kind: "deferred", cause, reply: { code: 451, status, text: cleanText(text) } };
}

export function failed(code: number, status: string, text: string): Trouble {
  return { kind: "failed", reply: { code, status, text: cleanText(text) } };
}

/** No SMTP reply at all: whoever sends that is no judge of anybody's mail. */
export function garbled(hop: string, raw: string): Trouble {
  return deferred("protocol", "4.5.0", `${hop} sent no SMTP reply: ${raw.slice(0, 100)}`);
}

/** A reply that makes no sense where it came. */
export function unfit(hop: string, stage: string, { code, text }: Reply): Trouble {
  return deferred("protocol", "4.5.0", `${hop} answered ${code} ${text} at ${stage}`);
}

/** What it says about itself, whatever the code: another host, or the same one later. */
export function closing(reply: Reply): Trouble {
  return { kind: "deferred", cause: "reply", reply };
}

/** Of a host that says that it gets too much from us: 421, or 4.7.x, by which senders are held back. */
export function isTooMuch(outcome: Outcome): outcome is Trouble {
  if (outcome.kind !== "deferred" || outcome.cause !== "reply") return false;
  const { code, status } = outcome.reply;
  return code === 421 || (code < 500 && /^4\.7\./.test(status));
}

/** nodemailer keeps bytes as latin1 until a reply is whole; UTF-8 where it is valid (RFC 6531 3.7.4). */
export function decode(raw: string): string {
  if (!/[\u0080-\u00ff]/.test(raw)) return raw;
  const text = Buffer.from(raw, "latin1").toString("utf8");
  return text.includes("\uFFFD") ? raw : text;
}
