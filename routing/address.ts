/**
 * Mailbox addresses (RFC 5321 4.1.2): parsing, the spelling that goes on the wire, and the form in
 * which local parts are compared. A local part is opaque: `user%other@here` is a mailbox at `here`.
 */
import {
  type Domain,
  type Literal,
  type NameOptions,
  parseDomain,
  parseLiteral,
} from "./domain.ts";
import { limits } from "./limits.ts";

/** `local` is the content as written, case kept, without quotes and backslashes. */
export type Address = {
  readonly local: string;
  readonly domain: Domain | Literal;
  readonly isLiteral: boolean;
};

const dotAtom =
  /^[\w!#$%&'*+/=?^`{|}~\u0080-\u{10ffff}-]+(?:\.[\w!#$%&'*+/=?^`{|}~\u0080-\u{10ffff}-]+)*$/u;
const quotedString = /^"((?:[ !#-[\]-~\u0080-\u{10ffff}]|\\[ -~])+)"$/u;
const ascii = /^[\x20-\x7e]*$/;
/** Controls, format characters, surrogates, private use, and whatever shows nothing (RFC 6532). */
const unseen = /[\p{C}\p{Zl}\p{Zp}]|\p{Default_Ignorable_Code_Point}|[^\P{Zs} ]/u;
const encoder = new TextEncoder();

/** Without angle brackets; undefined is 501 5.1.3 (and 5.6.7 where only `utf8` was missing). */
export function parseAddress(text: string, options: NameOptions = {}): Address | undefined {
  if (text.length > 2 * limits.addressOctetsMax) return undefined;
  const isAscii = ascii.test(text);
  if (!isAscii && (options.utf8 !== true || !text.isWellFormed() || unseen.test(text))) {
    return undefined;
  }
  const at = text.lastIndexOf("@");
  if (at < 1) return undefined;
  const written = text.slice(0, at);
  if (octets(written) > limits.localOctetsMax) return undefined;
  const local = unquoted(written);
  if (local === undefined) return undefined;
  const right = text.slice(at + 1);
  const isLiteral = right.startsWith("[");
  const domain = isLiteral ? parseLiteral(right) : parseDomain(right, options);
  if (domain === undefined) return undefined;
  if (octets(written) + 1 + domain.length > limits.addressOctetsMax) return undefined;
  return { local, domain, isLiteral };
}

/** Quotes the local part where it needs it; `parseAddress` reads it back. */
export function formatAddress(address: Address): string {
  return `${quoted(address.local)}@${address.domain}`;
}

export function quoted(local: string): string {
  return dotAtom.test(local) ? local : `"${local.replaceAll(/["\\]/g, "\\$&")}"`;
}

/** Two local parts are the same mailbox if their keys are equal: NFC and lower case. */
export function localKey(local: string): string {
  if (ascii.test(local)) return local.toLowerCase();
  return local.normalize("NFC").toLowerCase().normalize("NFC");
}

/** The part before the first `+`; undefined without a tag, and where nothing stands before it. */
export function baseOfTag(local: string): string | undefined {
  const plus = local.indexOf("+");
  return plus > 0 ? local.slice(0, plus) : undefined;
}

const sourceRoute = /^@[^\s:"<>]+:(?=[^:]|"[^"]*")/;

/** RFC 5321 4.1.1.3: a source route (`@a,@b:user@c`) is accepted and ignored. */
export function withoutSourceRoute(path: string): string {
  return path.replace(sourceRoute, "");
}

function unquoted(written: string): string | undefined {
  if (dotAtom.test(written)) return written;
  return quotedString.exec(written)?.[1]?.replaceAll(/\\(.)/gu, "$1");
}

function octets(text: string): number {
  return ascii.test(text) ? text.length : encoder.encode(text).length;
}
