import assert from "node:assert/strict";
import { test } from "node:test";
import { formatReply } from "./reply.ts";

const CASES: readonly (readonly [string, number, string, string, string])[] = [
  ["code, status, text", 250, "2.1.5", "OK", "250 2.1.5 OK\r\n"],
  ["no status, none sent", 250, "", "mx.test", "250 mx.test\r\n"],
  ["3xx carries no status", 354, "3.0.0", "go", "354 go\r\n"],
  [
    "several lines",
    550,
    "5.1.1",
    "one\ntwo\r\nthree",
    "550-5.1.1 one\r\n550-5.1.1 two\r\n550 5.1.1 three\r\n",
  ],
  ["control characters do not leak", 550, "5.1.1", "a\rb\0c\x1bd", "550 5.1.1 a?b?c?d\r\n"],
  ["nothing beyond ASCII", 550, "5.1.1", "für", "550 5.1.1 f?r\r\n"],
  ["a broken status becomes that of the code", 451, "x\r\n", "later", "451 4.0.0 later\r\n"],
  ["a broken code becomes 451", Number.NaN, "4.3.0", "later", "451 4.3.0 later\r\n"],
  ["empty text", 250, "2.0.0", "", "250 2.0.0 \r\n"],
];

for (const [title, code, status, text, want] of CASES) {
  test(`formatReply: ${title}`, () => assert.equal(formatReply({ code, status, text }), want));
}

test("formatReply: long text is broken into lines of at most 512 octets", () => {
  const wire = formatReply({ code: 550, status: "5.7.1", text: "x".repeat(1500) });
  const lines = wire.split("\r\n").slice(0, -1);
  assert.equal(lines.length, 4);
  assert.ok(lines.every((line) => line.length <= 510));
  assert.ok(lines.slice(0, -1).every((line) => line.startsWith("550-5.7.1 ")));
  assert.ok(lines.at(-1)?.startsWith("550 5.7.1 "));
});
