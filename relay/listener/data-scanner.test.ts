/** The scanner against a slow oracle that looks at one byte at a time, at every split. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DataScanner } from "./data-scanner.ts";
import type { Body } from "./reception.ts";

type Scan = { text: string; rest: string | undefined; faults: Body["faults"] };

/** RFC 5321 sections 4.1.1.4 and 4.5.2, word for word. */
function oracle(input: string): Scan {
  let text = "";
  let lineStart = true;
  let at = 0;
  let rest: string | undefined;
  while (at < input.length) {
    if (lineStart && input[at] === ".") {
      if (input.slice(at, at + 3) === ".\r\n") {
        rest = input.slice(at + 3);
        break;
      }
      at += 1;
      lineStart = false;
      continue;
    }
    text += input[at];
    lineStart = input[at] === "\n" && input[at - 1] === "\r";
    at += 1;
  }
  const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0;
  const lines = text.split("\n").map((line, i, all) => {
    return i < all.length - 1 && line.endsWith("\r") ? line.length - 1 : line.length;
  });
  const faults = {
    bareCr: count(/\r(?!\n)/g),
    bareLf: count(/(?<!\r)\n/g),
    nul: count(/\0/g),
    longestLine: Math.max(0, ...lines),
  };
  return { text, rest, faults };
}

function scan(pieces: readonly string[]): Scan {
  const scanner = new DataScanner({ bytesMax: 1e9 });
  for (const [i, piece] of pieces.entries()) {
    const chunk = Buffer.from(piece, "latin1");
    const end = scanner.feed(chunk, 0);
    if (end < 0) continue;
    const { chunks, bytes, faults } = scanner.body();
    const body = Buffer.concat(chunks);
    assert.equal(bytes, body.length);
    const rest = chunk.toString("latin1", end) + pieces.slice(i + 1).join("");
    return { text: body.toString("latin1"), rest, faults };
  }
  return { text: "", rest: undefined, faults: scanner.body().faults };
}

/** Every way to cut a text into pieces (2^(n-1) of them). */
function* cuts(text: string): Generator<string[]> {
  for (let mask = 0; mask < 2 ** Math.max(text.length - 1, 0); mask += 1) {
    const pieces: string[] = [];
    let piece = "";
    for (let i = 0; i < text.length; i += 1) {
      piece += text[i];
      if (mask & (1 << i) || i === text.length - 1) {
        pieces.push(piece);
        piece = "";
      }
    }
    yield pieces;
  }
}

function check(input: string, pieces: readonly string[]): void {
  const want = oracle(input);
  const got = scan(pieces);
  if (want.rest === undefined) assert.equal(got.rest, undefined, JSON.stringify(pieces));
  else assert.deepEqual(got, want, JSON.stringify(pieces));
}

/** What looks like an end: lone line ends, dots in odd places, ends within ends. */
const TRICKY = [
  ".\r\n",
  "..\r\n.\r\n",
  "a\r\n.\r\nQUIT",
  "\r\n.\r\n",
  "\n.\n\r\n.\r\n",
  "\r\n.\n\r\n.\r\n",
  "\n.\r\n\r\n.\r\n",
  "\r.\r\r\n.\r\n",
  "\r\n.\r\r\n.\r\n",
  "\r\n.\r.\r\n.\r\n",
  "\r\r\n.\r\n",
  "\r\n..\r\n.\r\n",
  ".\r.\r\n.\r\n",
  ".\n.\r\n.\r\n",
  "\r\n.\0\r\n.\r\n",
  ".\r\n.\r\n",
  "\r\n.\r\n.\r\n",
  "a.\r\n.b\r\n.\r\nc",
  "\n\n\r\r\n.\r\n",
];

for (const input of TRICKY) {
  test(`DataScanner: agrees with the oracle at every split of ${JSON.stringify(input)}`, () => {
    for (const pieces of cuts(input)) check(input, pieces);
  });
}

test("DataScanner: every text of seven bytes that matter, whole and byte by byte", () => {
  const bytes = "\r\n.x";
  for (let n = 0; n < bytes.length ** 7; n += 1) {
    let body = "";
    for (let rest = n, i = 0; i < 7; i += 1, rest = Math.floor(rest / bytes.length)) {
      body += bytes[rest % bytes.length];
    }
    const input = `${body}\r\n.\r\n`;
    check(input, [input]);
    check(input, [...input]);
  }
});

test("DataScanner: agrees with the oracle on random bodies in random chunks", () => {
  const piece = fc.oneof(
    fc.constantFrom("\r\n", "\r", "\n", ".", "\r\n.", "\r\n..", "\0", ".\r\n", "x", "\r\n.\r"),
    fc.string({ maxLength: 40 }).map((text) => Buffer.from(text).toString("latin1")),
    fc.constantFrom("y".repeat(600), "z".repeat(1500)),
  );
  const property = fc.property(
    fc.array(piece, { maxLength: 60 }),
    fc.infiniteStream(fc.nat(90)),
    (parts, sizes) => {
      const input = `${parts.join("")}\r\n.\r\nrest`;
      const pieces: string[] = [];
      for (let at = 0; at < input.length; ) {
        const size = sizes.next().value + 1;
        pieces.push(input.slice(at, at + size));
        at += size;
      }
      check(input, pieces);
      check(input, [input]);
    },
  );
  fc.assert(property, { numRuns: 500 });
});

test("DataScanner: begins at an offset and leaves what comes after the end untouched", () => {
  const chunk = Buffer.from("DATA\r\n..a\r\n..b\r\n.\r\nMAIL FROM:<x@y.test>\r\n");
  const scanner = new DataScanner({ bytesMax: 1000 });
  const end = scanner.feed(chunk, 6);
  assert.equal(chunk.toString("latin1", end), "MAIL FROM:<x@y.test>\r\n");
  assert.equal(Buffer.concat(scanner.body().chunks).toString(), ".a\r\n.b\r\n");
});

test("DataScanner: keeps nothing over its limit and still finds the end", () => {
  const scanner = new DataScanner({ bytesMax: 10 });
  assert.equal(scanner.feed(Buffer.from("0123456789"), 0), -1);
  assert.equal(scanner.kept.oversized, false);
  assert.equal(scanner.feed(Buffer.from("\r\nmore\r"), 0), -1);
  assert.equal(scanner.feed(Buffer.from("\n.\r"), 0), -1);
  assert.equal(scanner.feed(Buffer.from("\nQUIT"), 0), 1);
  assert.equal(scanner.kept.oversized, true);
  assert.equal(scanner.body().chunks.length, 0);
  assert.equal(scanner.kept.bytes, 18);
});

test("DataScanner: a client that sends single bytes costs no more than its bytes", () => {
  const scanner = new DataScanner({ bytesMax: 1e9 });
  const text = "Subject: drip\r\n".repeat(2000);
  for (const byte of `${text}.\r`) assert.equal(scanner.feed(Buffer.from(byte), 0), -1);
  assert.equal(scanner.feed(Buffer.from("\n"), 0), 1);
  const { chunks } = scanner.body();
  assert.equal(Buffer.concat(chunks).toString(), text);
  assert.ok(chunks.length < 30, `${chunks.length} chunks`);
});

test("DataScanner: a flood of stuffed dots is one slice per chunk, and quick", () => {
  const chunk = Buffer.from("..\r\n".repeat(16_384));
  const scanner = new DataScanner({ bytesMax: 1e9 });
  const begun = performance.now();
  for (let i = 0; i < 16; i += 1) scanner.feed(Buffer.from(chunk), 0);
  const ms = performance.now() - begun;
  scanner.feed(Buffer.from(".\r\n"), 0);
  assert.equal(scanner.body().chunks.length, 16);
  assert.equal(scanner.kept.bytes, 16 * 16_384 * 3);
  assert.ok(ms < 500, `${ms} ms for 1 MiB`);
});
