/**
 * The envelope commands of one transaction, and the guard that no address can write a command of its
 * own. Pure: extensions in, text out.
 */
import {
  type MessageDsn,
  messageParameters,
  type RecipientDsn,
  recipientParameters,
} from "../dsn-request.ts";
import { failed, type Trouble } from "./reply.ts";

/** What a next hop announced in EHLO that matters to a transaction. */
export type Extensions = {
  readonly pipelining: boolean;
  readonly size: boolean;
  /** 0: no bound announced. */
  readonly messageBytesMax: number;
  readonly eightBitMime: boolean;
  readonly smtputf8: boolean;
  readonly dsn: boolean;
  /** Upper-case SASL mechanisms. */
  readonly auth: readonly string[];
};

export const noExtensions: Extensions = {
  pipelining: false,
  size: false,
  messageBytesMax: 0,
  eightBitMime: false,
  smtputf8: false,
  dsn: false,
  auth: [],
};

/** The message of a transaction; `recipients` are those that this transaction is for. */
export type Letter = {
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly body: Uint8Array;
  /** Header fields of ours that go before it, whole lines. */
  readonly prefix?: Uint8Array;
  readonly eightBit: boolean;
  readonly smtputf8: boolean;
  /** What the sender asked to be told, where he asked. */
  readonly dsn?: LetterDsn | undefined;
};

export type LetterDsn = MessageDsn & {
  /** By address. */
  readonly recipients: ReadonlyMap<string, RecipientDsn>;
};

/** Extensions from an EHLO reply, its lines joined by "\n"; the first line is only a greeting. */
export function parseExtensions(reply: string): Extensions {
  const words = new Map<string, readonly string[]>();
  for (const line of reply.split("\n").slice(1)) {
    const parts = line
      .slice(4)
      .trim()
      .toUpperCase()
      .split(/[\s=]+/, 64);
    const keyword = parts[0] ?? "";
    words.set(keyword, [...(words.get(keyword) ?? []), ...parts.slice(1)]);
  }
  const size = Number(words.get("SIZE")?.[0] ?? 0);
  return {
    pipelining: words.has("PIPELINING"),
    size: words.has("SIZE"),
    messageBytesMax: Number.isSafeInteger(size) && size > 0 ? size : 0,
    eightBitMime: words.has("8BITMIME"),
    smtputf8: words.has("SMTPUTF8"),
    dsn: words.has("DSN"),
    auth: words.get("AUTH") ?? [],
  };
}

// Quoted strings may hold spaces and angle brackets (RFC 5321 section 4.1.2), nothing may hold controls.
const safeAddress =
  /^(?:[^\s<>"\p{Cc}\u2028\u2029]|"(?:[^"\\\p{Cc}\u2028\u2029]|\\[^\p{Cc}\u2028\u2029])*")*$/u;

export function isSafeAddress(address: string): boolean {
  return safeAddress.test(address);
}

const heloName = /^[A-Za-z0-9._:[\]-]{1,255}$/;

export function isSafeHelo(name: string): boolean {
  return heloName.test(name);
}

export function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false;
  return true;
}

/** A letter's own needs: whatever the recipients are, does it take SMTPUTF8? */
function needsUtf8(letter: Letter): boolean {
  return letter.smtputf8 || !isAscii(letter.sender);
}

function bytesOf({ prefix, body }: Letter): number {
  return body.length + (prefix?.length ?? 0);
}

/** What is wrong with the letter as a whole for a hop with these extensions. */
export function letterTrouble(letter: Letter, extensions: Extensions): Trouble | undefined {
  const bytesMax = extensions.messageBytesMax;
  const bytes = bytesOf(letter);
  if (bytesMax > 0 && bytes > bytesMax) {
    const text = `the message has ${bytes} bytes, the next hop takes ${bytesMax}`;
    return failed(552, "5.3.4", text);
  }
  return needsUtf8(letter) && !extensions.smtputf8 ? noUtf8() : undefined;
}

/** RFC 6531 section 3.2. */
export function noUtf8(): Trouble {
  return failed(553, "5.6.7", "the next hop does not take internationalized mail (SMTPUTF8)");
}

/** An 8-bit body goes as it is to a hop without 8BITMIME too, as every relay does: no conversion. */
export function mailCommand(letter: Letter, extensions: Extensions): string {
  let command = `MAIL FROM:<${letter.sender}>`;
  if (extensions.size) command += ` SIZE=${bytesOf(letter)}`;
  if (letter.eightBit && extensions.eightBitMime) command += " BODY=8BITMIME";
  if (extensions.smtputf8 && (needsUtf8(letter) || !letter.recipients.every(isAscii))) {
    command += " SMTPUTF8";
  }
  if (extensions.dsn && letter.dsn !== undefined) command += messageParameters(letter.dsn);
  return `${command}\r\n`;
}

export function rcptCommand(letter: Letter, recipient: string, extensions: Extensions): string {
  const dsn = extensions.dsn ? letter.dsn?.recipients.get(recipient) : undefined;
  const parameters = dsn === undefined ? "" : recipientParameters(dsn);
  return `RCPT TO:<${recipient}>${parameters}\r\n`;
}
