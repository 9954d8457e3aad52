/**
 * A DKIM-Signature field (RFC 6376, Ed25519 by RFC 8463): canonical header, tags, folding. Pure. Canonicalisation
 * is relaxed for the header and simple for the body: not one byte of the body is looked at but in its hash.
 */
import { createHash, type KeyObject, sign } from "node:crypto";

export type SignatureOptions = {
  readonly domain: string;
  readonly selector: string;
  readonly key: KeyObject;
  /** With its last CRLF, without the blank line. */
  readonly header: Uint8Array;
  /** SHA-256 of the canonical body, base64. */
  readonly bodyHash: string;
  readonly nowMs: number;
};

/** Section 5.4.1, and what lists add. */
const signedNames = [
  ...["from", "sender", "reply-to", "subject", "date", "message-id", "to", "cc"],
  ...["in-reply-to", "references", "mime-version", "content-type", "content-transfer-encoding"],
  ...["content-id", "content-description", "list-id", "list-unsubscribe", "list-unsubscribe-post"],
];
/** Named once more than they stand there, so that nobody adds another (section 8.15). */
const sealedNames = new Set(["from", "subject", "date", "to"]);

/** The field with its CRLF, to stand before the message. Throws where the key cannot sign. */
export function signatureField(options: SignatureOptions): Uint8Array {
  const { domain, selector, key, header, bodyHash, nowMs } = options;
  const fields = fieldsOf(Buffer.from(header).toString("latin1"));
  const names = namesToSign(fields);
  const algorithm = key.asymmetricKeyType === "ed25519" ? "ed25519-sha256" : "rsa-sha256";
  const unsigned = [
    `DKIM-Signature: v=1; a=${algorithm}; c=relaxed/simple;`,
    ` d=${domain}; s=${selector};`,
    ` t=${Math.floor(nowMs / 1000)};`,
    ` h=${folded(names.map((name, at) => `${name}${at < names.length - 1 ? ":" : ";"}`))}`,
    ` bh=${bodyHash};`,
    " b=",
  ].join("\r\n");
  const data = `${canonicalHeader(fields, names)}${relaxed(unsigned)}`;
  const signature = signed(Buffer.from(data, "latin1"), key);
  return Buffer.from(`${unsigned}${folded(signature.match(/.{1,64}/g) ?? [])}\r\n`, "latin1");
}

/** RFC 8463 section 3: Ed25519 signs the hash. */
function signed(data: Buffer, key: KeyObject): string {
  const isEd25519 = key.asymmetricKeyType === "ed25519";
  const bytes = isEd25519
    ? sign(null, createHash("sha256").update(data).digest(), key)
    : sign("sha256", data, key);
  return bytes.toString("base64");
}

type Field = { readonly name: string; readonly text: string };

/** Fields as they stand there, each without its last CRLF. */
function fieldsOf(header: string): readonly Field[] {
  return header
    .split(/\r\n(?![ \t])/)
    .filter((text) => text.includes(":"))
    .map((text) => ({ name: text.slice(0, text.indexOf(":")).trim().toLowerCase(), text }));
}

function namesToSign(fields: readonly Field[]): readonly string[] {
  return signedNames.flatMap((name) => {
    const count = fields.filter((field) => field.name === name).length;
    return new Array<string>(count + (sealedNames.has(name) ? 1 : 0)).fill(name);
  });
}

/** Section 5.4.2: of several fields of a name the last one first; what is named and missing is empty. */
function canonicalHeader(fields: readonly Field[], names: readonly string[]): string {
  const left = fields.toReversed();
  let text = "";
  for (const name of names) {
    const at = left.findIndex((field) => field.name === name);
    const [field] = at < 0 ? [] : left.splice(at, 1);
    if (field !== undefined) text += `${relaxed(field.text)}\r\n`;
  }
  return text;
}

/** Section 3.4.2. */
function relaxed(field: string): string {
  const colon = field.indexOf(":");
  const value = field
    .slice(colon + 1)
    .replace(/\r\n/g, "")
    .replace(/[ \t]+/g, " ")
    // No trim(): in latin1 it would take the last octet of "à" for a blank.
    .replace(/^ | $/g, "");
  return `${field.slice(0, colon).trim().toLowerCase()}:${value}`;
}

/** Parts on lines of at most 76 characters. */
function folded(parts: readonly string[]): string {
  let text = "";
  let width = 3;
  for (const part of parts) {
    if (width + part.length > 76 && text !== "") {
      text += "\r\n  ";
      width = 2;
    }
    text += part;
    width += part.length;
  }
  return text;
}
