import assert from "node:assert/strict";
import { test } from "node:test";
import type { Body } from "../listener/reception.ts";
import { faultOf, headFirst } from "./body.ts";
import { receivedLine, traceOf } from "./header.ts";
import { mendHeader } from "./mend-header.ts";

function bodyOf(...parts: readonly string[]): Body {
  const chunks = parts.map((part) => Buffer.from(part, "latin1"));
  const text = parts.join("");
  const count = (pattern: RegExp): number => [...text.matchAll(pattern)].length;
  return {
    chunks,
    bytes: text.length,
    faults: {
      bareCr: count(/\r(?!\n)/g),
      bareLf: count(/(?<!\r)\n/g),
      nul: count(/\0/g),
      longestLine: 0,
    },
  };
}

const cases: readonly [
  body: readonly string[],
  fault: ReturnType<typeof faultOf>,
  mended: string,
][] = [
  [["A: b\r\n\r\nc\r\n"], undefined, "A: b\r\n\r\nc\r\n"],
  [["A: b\r\n", " folded\r\n\r\n c\r\n"], undefined, "A: b\r\n folded\r\n\r\n c\r\n"],
  [["\r\n c\r\n"], undefined, "\r\n c\r\n"],
  [[], undefined, ""],
  [[" evil\r\nA: b\r\n\r\nc\r\n"], "leading space", "\r\n evil\r\nA: b\r\n\r\nc\r\n"],
  [["", "\t", "\r\n"], "leading space", "\r\n\t\r\n"],
  [["\0 evil\r\n"], "NUL", "\r\n evil\r\n"],
  [[" evil\nA: b\r\n"], "bare LF", "\r\n evil\r\nA: b\r\n"],
  [["\n evil\r\n"], "bare LF", "\r\n evil\r\n"],
  [["A: b\r \r\n"], "bare CR", "A: b\r\n \r\n"],
];

for (const [parts, fault, mended] of cases) {
  test(`body: ${JSON.stringify(parts)} has ${fault ?? "no fault"}, and nothing of it continues what comes before`, () => {
    const body = bodyOf(...parts);
    assert.equal(faultOf(body), fault);
    assert.equal(Buffer.concat(headFirst(body, faultOf(body))).toString("latin1"), mended);
  });
}

test("body: the whole header section is in the first chunk", () => {
  const [first] = headFirst(bodyOf("A: b\r\nC: d\r", "\n\r\nbody"), undefined);
  assert.match(first?.toString() ?? "", /^A: b\r\nC: d\r\n\r\n/);
  const [head, rest] = headFirst(bodyOf("A: b\r\n\r\n", "body"), undefined);
  assert.deepEqual([head?.toString(), rest?.toString()], ["A: b\r\n\r\n", "body"]);
});

const line = receivedLine({
  from: { helo: "client.test", address: "192.0.2.1" },
  hostname: "relay.test",
  mark: "(Mailroute mail/default)",
  protocol: "ESMTP",
  id: "abc",
  recipient: undefined,
  at: new Date(0),
});
const submission = { sender: "a@x.test", messageId: "id@relay.test", date: "Mon, 05 Jan 2026" };

for (const [name, parts] of [
  ["first", [" (Mailroute mail/default)\r\nSubject: x\r\n\r\nc\r\n"]],
  ["behind fields that go", ["Return-Path:\r\n\t<x>\r\n \r\nSubject: x\r\n\r\nc\r\n"]],
  ["the one line", ["\tx"]],
] as const) {
  for (const added of [undefined, submission]) {
    const what = added === undefined ? "our Received line" : "what a submission gets";
    test(`body: a folded line that comes ${name} never continues ${what}`, () => {
      const body = bodyOf(...parts);
      const [head = Buffer.alloc(0)] = headFirst(body, faultOf(body));
      const mending = { forgedAuthority: undefined, submission: added };
      const text = Buffer.concat([Buffer.from(line), ...mendHeader(head, mending)]).toString();
      assert.ok(text.startsWith(line));
      assert.doesNotMatch(text.slice(line.length), /^[ \t]/);
      const last = text.indexOf("From: <a@x.test>\r\n");
      if (added !== undefined) assert.doesNotMatch(text.slice(last), /^From: <a@x.test>\r\n[ \t]/);
      assert.equal(traceOf(Buffer.from(text), "(Mailroute mail/default)").passes, 1);
    });
  }
}
