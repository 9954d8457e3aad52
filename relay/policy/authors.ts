/**
 * Who a message says that it is from: the mailboxes of its From and Sender fields (RFC 5322 sections 3.4 and
 * 3.6.2). Pure. Stricter than mail programs are: whatever two of them might read differently is nobody's.
 */
import { type Address, parseAddress } from "../../routing/address.ts";
import { headerBlock } from "../delivery/header.ts";

export type Authors =
  | { readonly ok: true; readonly addresses: readonly Address[] }
  | { readonly ok: false; readonly why: string };

const headerBytesMax = 1024 * 1024;
const fieldCharsMax = 64 * 1024;

/** `body` has CRLF lines. A message without a From field has no authors. */
export function authorsOf(body: Uint8Array): Authors {
  const header = Buffer.from(headerBlock(body, headerBytesMax)).toString();
  if (stray.test(header)) return { ok: false, why: "a header line that is no field" };
  const addresses: Address[] = [];
  const seen = new Set<string>();
  const fields = /^(from|sender)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)/gim;
  for (const [, name = "", value = ""] of header.matchAll(fields)) {
    const field = name.toLowerCase();
    const shown = field === "from" ? "From" : "Sender";
    // RFC 5322 section 3.6: once at most.
    if (seen.has(field)) return { ok: false, why: `more than one ${shown} field` };
    seen.add(field);
    const found = value.length <= fieldCharsMax ? mailboxesIn(value) : undefined;
    if (found === undefined) return { ok: false, why: `a ${shown} field that is not clear` };
    addresses.push(...found);
  }
  return { ok: true, addresses };
}

/** Neither a field nor the continuation of one: some programs read on as if it were. */
const stray = /^(?![!-9;-~]+[ \t]*:|[ \t]|\r?$)/m;

/** One word of an address list: an atom or quoted string, or one of the specials. */
const token =
  /(?:[ \t]|\r\n)+|"((?:[^"\\\r\n]|\\[^\r\n]|\r\n[ \t])*)"|([^\s()<>[\]:;@\\,"]+)|(\[[^[\]\\\s]*\])|([<>@,:;])/uy;

/** RFC 5322 section 3.4: mailboxes and groups. Undefined where the text is anything else. */
function mailboxesIn(value: string): readonly Address[] | undefined {
  const text = withoutComments(value);
  const words = text === undefined ? undefined : wordsIn(text);
  if (words === undefined) return undefined;
  const found: Address[] = [];
  let isGroup = false;
  let part: string[] = [];
  for (const word of [...words, ","]) {
    if (word === ":" && !isGroup && isPhrase(part)) {
      isGroup = true;
      part = [];
    } else if (word === "," || (word === ";" && isGroup)) {
      if (word === ";") isGroup = false;
      if (part.some((each) => each !== blank)) {
        const address = mailboxIn(part);
        if (address === undefined) return undefined;
        found.push(address);
      }
      part = [];
    } else if (word === ":" || word === ";") {
      return undefined;
    } else {
      part.push(word);
    }
  }
  return isGroup || found.length === 0 ? undefined : found;
}

/** [phrase] "<" addr-spec ">", or addr-spec. */
function mailboxIn(words: readonly string[]): Address | undefined {
  const open = words.indexOf("<");
  if (open < 0) return addressIn(words);
  const last = words.findLastIndex((word) => word !== blank);
  const isWhole = words[last] === ">" && isPhrase(words.slice(0, open));
  const inside = words.slice(open + 1, last);
  if (!isWhole || inside.some((word) => word === "<" || word === ">")) return undefined;
  return addressIn(inside);
}

/** What would show as another address in a program that decodes words, or drops what it does not expect. */
const disguised = /[@<>]|=\?|\p{Cc}/u;

/** An addr-spec in one piece: with blanks or comments inside it is read in more than one way. */
function addressIn(words: readonly string[]): Address | undefined {
  const text = words
    .map((word) => (word === blank ? " " : word))
    .join("")
    .trim();
  const address = text.includes(" ") ? undefined : parseAddress(text, { utf8: true });
  return address !== undefined && disguised.test(address.local) ? undefined : address;
}

/** Stands for white space and comments among the words. */
const blank = "";

function isPhrase(words: readonly string[]): boolean {
  return words.every((word) => !/^[<>@,:;[]/.test(word));
}

function wordsIn(text: string): readonly string[] | undefined {
  const words: string[] = [];
  token.lastIndex = 0;
  while (token.lastIndex < text.length) {
    const match = token.exec(text);
    if (match === null) return undefined;
    const [all] = match;
    words.push(all.trim() === "" ? blank : all);
  }
  return words;
}

/** Comments nest (RFC 5322 section 3.2.2); a space stands for each. Undefined where one does not end. */
function withoutComments(text: string): string | undefined {
  let depth = 0;
  let isQuoted = false;
  let kept = "";
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] ?? "";
    if (char === "\\") {
      if (depth === 0) kept += char + (text[at + 1] ?? "");
      at += 1;
    } else if (char === '"' && depth === 0) {
      isQuoted = !isQuoted;
      kept += char;
    } else if (char === "(" && !isQuoted) {
      depth += 1;
      if (depth === 1) kept += " ";
    } else if (char === ")" && !isQuoted) {
      if (depth === 0) return undefined;
      depth -= 1;
    } else if (depth === 0) {
      kept += char;
    }
  }
  return depth === 0 && !isQuoted ? kept : undefined;
}
