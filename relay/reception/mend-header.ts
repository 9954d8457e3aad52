/**
 * What may not stay in a header section, and what a submission lacks: pure. Return-Path is for the final
 * delivery to write (RFC 5321 section 4.4); Authentication-Results in our name from somebody else are forged
 * (RFC 8601 section 5); Date, Message-ID and From are mended for submissions only (RFC 6409 section 8). Nothing
 * else changes, and where nothing is to change the message is the same bytes.
 */
import { headerBlock } from "../delivery/header.ts";

export type Mending = {
  /** Results that name this authority are taken out; undefined: none. */
  readonly forgedAuthority: string | undefined;
  /** Undefined: this is no submission, and nothing is added. */
  readonly submission: Submission | undefined;
};

export type Submission = {
  /** The envelope sender; "" where it is null. */
  readonly sender: string;
  readonly messageId: string;
  /** RFC 5322 section 3.3. */
  readonly date: string;
};

const field = /^([!-9;-~]+)[ \t]*:[^\r\n]*(?:\r\n(?:[ \t][^\r\n]*|(?=\r\n)))*/gm;

/** `message` has CRLF lines, and a header section whose size somebody has bounded; the answer is its parts. */
export function mendHeader(message: Buffer, mending: Mending): readonly Buffer[] {
  const block = headerBlock(message, message.length);
  const text = Buffer.from(block).toString("latin1");
  const names = new Set<string>();
  const dropped: { readonly from: number; readonly to: number }[] = [];
  for (const match of text.matchAll(field)) {
    const name = (match[1] ?? "").toLowerCase();
    const [whole] = match;
    if (isDropped(name, whole, mending)) {
      dropped.push({ from: match.index, to: match.index + whole.length + 2 });
    } else names.add(name);
  }
  const added = mending.submission === undefined ? [] : missing(names, mending.submission);
  const parts: Buffer[] = added.length === 0 ? [] : [Buffer.from(added.join(""))];
  let at = 0;
  for (const { from, to } of dropped) {
    if (from > at) parts.push(message.subarray(at, from));
    at = Math.min(to, block.length);
  }
  // A message that is body only begins with the blank line; one without any gets it.
  const isBare = block.length === 0 && !message.subarray(0, 2).equals(crlf);
  if (added.length > 0 && isBare) parts.push(crlf);
  return [...parts, message.subarray(at)];
}

const crlf = Buffer.from("\r\n");

function isDropped(name: string, whole: string, { forgedAuthority }: Mending): boolean {
  if (name === "return-path") return true;
  if (name !== "authentication-results" || forgedAuthority === undefined) return false;
  return authorityOf(whole) === forgedAuthority.toLowerCase();
}

const authorityCharsMax = 1024;

/** RFC 8601 section 2.2: the authserv-id comes first, perhaps after comments, which nest, perhaps quoted. */
function authorityOf(whole: string): string {
  let depth = 0;
  let at = whole.indexOf(":") + 1;
  for (; at < whole.length; at += 1) {
    const char = whole[at] ?? "";
    if (char === "(") depth += 1;
    else if (char === ")" && depth > 0) depth -= 1;
    else if (char === "\\" && depth > 0) at += 1;
    else if (depth === 0 && !/\s/.test(char)) break;
  }
  const rest = whole.slice(at, at + authorityCharsMax).replaceAll("\r\n", "");
  const [, quoted, bare = ""] = /^(?:"((?:[^"\\]|\\.)*)"|([^\s;"()]+))/.exec(rest) ?? [];
  return (quoted?.replace(/\\(.)/g, "$1") ?? bare).toLowerCase();
}

function missing(names: ReadonlySet<string>, submission: Submission): readonly string[] {
  const { sender, messageId, date } = submission;
  return [
    ...(names.has("date") ? [] : [`Date: ${date}\r\n`]),
    ...(names.has("message-id") ? [] : [`Message-ID: <${messageId}>\r\n`]),
    ...(names.has("from") || sender === "" ? [] : [`From: <${sender}>\r\n`]),
  ];
}
