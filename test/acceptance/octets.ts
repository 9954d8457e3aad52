/**
 * Letters whose bodies mail programs like to change, and how to hand one over octet by octet: by DATA, or by BDAT,
 * which alone can say that there is no line end at the end. What arrives is compared by the digest of its body.
 */
import { createHash } from "node:crypto";
import type { TestClient } from "../../relay/listener/dialog.testkit.ts";
import { say } from "./client.ts";

export type OctetLetter = {
  /** Its subject. */
  readonly name: string;
  readonly body: Buffer;
  readonly by: "DATA" | "BDAT";
};

const lines = (...each: string[]): Buffer => Buffer.from(`${each.join("\r\n")}\r\n`);
const everyHighOctet = Buffer.from(Array.from({ length: 128 }, (_, at) => 128 + at));

/** Octets without order, the same each time, in lines as base64 has them. */
function longText(bytes: number): Buffer {
  const digests: string[] = [];
  for (let at = 0; at * 44 < bytes; at += 1)
    digests.push(createHash("sha256").update(String(at)).digest("base64"));
  return lines(...digests);
}

const plain: readonly Omit<OctetLetter, "by">[] = [
  { name: "dots", body: lines(".", "..", ".a", "a.", "", ".", "... end", ".") },
  { name: "long-lines", body: lines("x".repeat(998), "y".repeat(999), "z ".repeat(4000), ".") },
  {
    name: "eight-bit",
    body: Buffer.concat([Buffer.from("Grüße, 例\r\n"), everyHighOctet, Buffer.from("\r\n")]),
  },
  {
    name: "blanks",
    body: lines("trailing \t ", "\t", " ", "From here", ">From there", "", "", ""),
  },
  { name: "empty", body: Buffer.alloc(0) },
  { name: "controls", body: lines("bell\x07 escape\x1b[0m form\x0c delete\x7f", "\x01\x02\x08") },
  { name: "half-a-megabyte", body: longText(500_000) },
];

/** Each by DATA, and those without a last line end by BDAT. */
export const octetLetters: readonly OctetLetter[] = [
  ...plain.map((letter) => ({ ...letter, by: "DATA" as const })),
  { name: "no-line-end", body: Buffer.from("the last line\r\nhas no end"), by: "BDAT" },
  { name: "no-line-end-dot", body: Buffer.from("a dot\r\n."), by: "BDAT" },
];

/** What the body is where it arrives: SMTP's DATA cannot end otherwise than with a line end. */
export function arriving({ body }: OctetLetter): Buffer {
  const isWhole = body.length === 0 || body.subarray(-2).toString("latin1") === "\r\n";
  return isWhole ? body : Buffer.concat([body, Buffer.from("\r\n")]);
}

/** A header that nobody needs to mend. */
export function headerOf(name: string): string {
  return [
    "From: Sender <sender@home.test>",
    "To: undisclosed-recipients:;",
    `Subject: ${name}`,
    "Date: Thu, 01 Jan 2026 00:00:00 +0000",
    `Message-ID: <${name}@home.test>`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    "",
  ].join("\r\n");
}

/** MAIL and RCPT have been said. The answer to the message. */
export async function handOctets(client: TestClient, letter: OctetLetter): Promise<string> {
  const message = Buffer.concat([Buffer.from(headerOf(letter.name)), letter.body]);
  if (letter.by === "BDAT") {
    client.socket.write(Buffer.from(`BDAT ${message.length} LAST\r\n`));
    client.socket.write(message);
    return await client.reply();
  }
  const go = await say(client, "DATA");
  if (!go.startsWith("354 ")) return go;
  client.send(`${message.toString("latin1").replace(/^\./gm, "..")}.\r\n`);
  return await client.reply();
}

/** A message without the dots before its dots, as sinks do not take them away (RFC 5321 section 4.5.2). */
export function unstuffed(message: Buffer): Buffer {
  return Buffer.from(message.toString("latin1").replace(/^\.\./gm, "."), "latin1");
}

export function digest(octets: Uint8Array): string {
  return createHash("sha256").update(octets).digest("hex");
}

/** What comes after the first empty line. */
export function bodyIn(message: Buffer): Buffer {
  const end = message.indexOf("\r\n\r\n");
  return end < 0 ? Buffer.alloc(0) : message.subarray(end + 4);
}

/** The header section's value of a field, unfolded; "" where there is none. */
export function fieldIn(message: Buffer, name: string): string {
  const end = message.indexOf("\r\n\r\n");
  const head = message.subarray(0, end < 0 ? message.length : end).toString("latin1");
  const unfolded = head.replace(/\r\n(?=[ \t])/g, "").split("\r\n");
  const line = unfolded.find((each) => each.toLowerCase().startsWith(`${name.toLowerCase()}:`));
  return line === undefined ? "" : line.slice(name.length + 1).trim();
}
