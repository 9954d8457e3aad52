/**
 * A whole session without its socket: parser, dialogue and intake, however the input is cut, against a reading
 * of the same input one byte at a time. What is a command is never body, and no body is ever a command.
 */
import assert from "node:assert/strict";
import { heard, limits, type Told } from "./ear.ts";
import { type SlowBody, slowData, slowFaults } from "./slow-body.ts";
import { cutsOf, type Target } from "./target.ts";

const begin = "EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n";

export const sessions: Target = {
  name: "sessions",
  tokens: [
    "EHLO x\r\n",
    "HELO x\r\n",
    "MAIL FROM:<a@x.test>\r\n",
    "RCPT TO:<b@x.test>\r\n",
    "RCPT TO:<slow@x.test>\r\n",
    "RCPT TO:<550@x.test>\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "DATA\r\n",
    "BDAT 5 LAST\r\nhello",
    "BDAT 6\r\nNOOP\r\n",
    "BDAT 5\r\n\r\n.\r\n",
    "BDAT 0 LAST\r\n",
    "BDAT 99999999999999999999\r\n",
    "BDAT ",
    " LAST\r\n",
    "AUTH PLAIN\r\n",
    "\r\n.\r\nNOOP\r\n",
    "x".repeat(63),
    begin,
  ],
  seeds: [
    `${begin}DATA\r\nSubject: x\r\n\r\n..\r\n.\r\nNOOP\r\n${begin}DATA\r\n.\r\nQUIT\r\n`,
    `${begin}BDAT 12\r\nSubject: x\r\nBDAT 8 LAST\r\nNOOP\r\n.\nMAIL FROM:<c@x.test>\r\n`,
    `${begin}BDAT 3\r\n\r\n.BDAT 2\r\n\r\nBDAT 0 LAST\r\nNOOP\r\n`,
    "EHLO x\r\nBDAT 6 LAST\r\nNOOP\r\nMAIL FROM:<a@x.test>\r\nBDAT 6 LAST\r\nNOOP\r\nRSET\r\n",
    `${begin}BDAT 5\r\nhelloDATA\r\nRCPT TO:<c@x.test>\r\nRSET\r\nBDAT 2\r\nhiNOOP\r\n`,
    `${begin}BDAT 5\r\nhelloRSET\r\n${begin}BDAT 2 LAST\r\nhiBDAT 1 LAST\r\nx`,
    `${begin}RCPT TO:<slow@x.test>\r\nDATA\r\na\r\n.\r\nRCPT TO:<slow@x.test>\r\nNOOP`,
    `NOOP\r\n${"x".repeat(62)}\r\n${"x".repeat(63)}\r\nNOOP\r\n`,
    "NOOP\r\n".repeat(220),
    `${begin}DATA\r\n${"0123456789\r\n".repeat(200)}.\r\nNOOP\r\n`,
    `${begin}${`BDAT 400\r\n${"x".repeat(400)}`.repeat(6)}BDAT 0 LAST\r\nNOOP\r\n`,
    `${begin}BDAT 2200 LAST\r\n${"x".repeat(2200)}NOOP\r\n`,
  ],
  async check(input) {
    const whole = await heard([Buffer.from(input)]);
    checkFraming(input, whole);
    for (const pieces of cutsOf(input)) {
      const cut = pieces.map(({ length }) => length).join(" ");
      assert.deepEqual(await heard(pieces), whole, `cut ${cut}`);
    }
  },
};

/** Walks over the input and asks of everything that was told whether it stands there, and nothing else. */
function checkFraming(input: Buffer, told: readonly Told[]): void {
  let at = 0;
  let chunks = "";
  let body: SlowBody | undefined;
  for (const [index, { kind, text }] of told.entries()) {
    const next = told[index + 1];
    if (kind === "line" || kind === "fault") {
      const line = slowLine(input, at);
      assert.deepEqual({ kind, text }, { kind: line.kind, text: line.text });
      at = line.end;
      const size = kind === "line" ? /^BDAT +(\d+)(?: +LAST)? *$/i.exec(text)?.[1] : undefined;
      if (size === undefined || (next?.kind === "reply" && next.text.startsWith("334"))) continue;
      // Its octets come before anything else, or the input ends within them.
      if (input.length - at < Number(size)) assert.equal(next?.kind, "ended");
      else assert.equal(next?.kind, "octets");
    } else if (kind === "octets") {
      const size = Number(text);
      if (next?.text === "250 chunk" || next?.kind === "body") {
        chunks += input.toString("latin1", at, at + size);
      }
      at += size;
      if (next?.kind === "body") {
        body = { text: chunks, end: at, faults: slowFaults(chunks) };
        chunks = "";
      }
    } else if (kind === "reply" && text === "354") {
      body = slowData(input, at);
      if (body === undefined) assert.equal(next?.kind, "ended");
      else at = body.end;
    } else if (kind === "body") {
      assert.equal(text, JSON.stringify({ text: body?.text, faults: body?.faults }));
    }
    if (kind === "reply" && /^(?:250 (?:EHLO|HELO|RSET|MAIL)|452|55)/.test(text)) chunks = "";
  }
  assert.equal(told.at(-1)?.kind, "ended");
}

/** RFC 5321 sections 2.3.8 and 4.5.3.1.4, RFC 6531 section 3.7.1. */
function slowLine(input: Buffer, from: number): Told & { readonly end: number } {
  let text = "";
  let end = from;
  while (!text.endsWith("\r\n") && end < input.length) {
    text += String.fromCharCode(input[end] ?? 0);
    end += 1;
  }
  const fault = (why: string) => ({ kind: "fault", text: why, end }) as const;
  const isWhole = text.endsWith("\r\n");
  if (text.length > limits.commandBytesMax || !isWhole) return fault("tooLong");
  const line = text.slice(0, -2);
  if (line.includes("\n")) return fault("bareLf");
  if (line.includes("\r")) return fault("bareCr");
  for (const char of line) if (char < " " || char === "\x7f") return fault("control");
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return { kind: "line", text: decoder.decode(Buffer.from(line, "latin1")), end };
  } catch {
    return fault("utf8");
  }
}
