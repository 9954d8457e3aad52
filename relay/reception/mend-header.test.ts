import assert from "node:assert/strict";
import { test } from "node:test";
import { type Mending, mendHeader } from "./mend-header.ts";

const none: Mending = { forgedAuthority: undefined, submission: undefined };
const forged: Mending = { ...none, forgedAuthority: "relay.test" };
const submitted: Mending = {
  ...none,
  submission: { sender: "a@x.test", messageId: "id@relay.test", date: "Mon, 05 Jan 2026" },
};

const mended = (text: string, mending: Mending): string =>
  Buffer.concat(mendHeader(Buffer.from(text, "latin1"), mending)).toString("latin1");

const cases: readonly [name: string, mending: Mending, before: string, after: string][] = [
  ["nothing to do", none, "A: b\r\n\r\nReturn-Path: <x>\r\n", "A: b\r\n\r\nReturn-Path: <x>\r\n"],
  ["Return-Path goes, folded too", none, "Return-Path:\r\n <x>\r\nA: b\r\n\r\nc", "A: b\r\n\r\nc"],
  [
    "in the middle, in any case",
    none,
    "A: b\r\nRETURN-path : <x>\r\nC: d\r\n\r\n",
    "A: b\r\nC: d\r\n\r\n",
  ],
  ["as the last, and without a body", none, "A: b\r\nReturn-Path: <x>\r\n", "A: b\r\n"],
  ["several of them", none, "Return-Path: a\r\nReturn-Path: b\r\n\r\n", "\r\n"],
  [
    "results in our name go",
    forged,
    "Authentication-Results: relay.test; spf=pass\r\nA: b\r\n\r\n",
    "A: b\r\n\r\n",
  ],
  [
    "after a comment, quoted, in capitals, folded",
    forged,
    'Authentication-Results: (hello)\r\n\t"RELAY.TEST" 1;\r\n dkim=pass\r\nA: b\r\n\r\n',
    "A: b\r\n\r\n",
  ],
  [
    "results of others stay",
    forged,
    "Authentication-Results: mx.relay.test; spf=pass\r\n\r\n",
    "Authentication-Results: mx.relay.test; spf=pass\r\n\r\n",
  ],
  [
    "whoever is trusted keeps ours",
    none,
    "Authentication-Results: relay.test; spf=pass\r\n\r\n",
    "Authentication-Results: relay.test; spf=pass\r\n\r\n",
  ],
  [
    "a submission gets what it lacks",
    submitted,
    "Subject: x\r\n\r\nbody\r\n",
    "Date: Mon, 05 Jan 2026\r\nMessage-ID: <id@relay.test>\r\nFrom: <a@x.test>\r\nSubject: x\r\n\r\nbody\r\n",
  ],
  [
    "a submission keeps what it has",
    submitted,
    "date: y\r\nMessage-Id: <z>\r\nFROM: q@x.test\r\n\r\nbody\r\n",
    "date: y\r\nMessage-Id: <z>\r\nFROM: q@x.test\r\n\r\nbody\r\n",
  ],
  [
    "a submission of a body only",
    submitted,
    "\r\nbody\r\n",
    "Date: Mon, 05 Jan 2026\r\nMessage-ID: <id@relay.test>\r\nFrom: <a@x.test>\r\n\r\nbody\r\n",
  ],
  [
    "eight-bit bytes and long lines are left alone",
    none,
    `Subject: \xe4\xff\r\nX: ${"x".repeat(2000)}\r\nReturn-Path: <>\r\n\r\n\xff`,
    `Subject: \xe4\xff\r\nX: ${"x".repeat(2000)}\r\n\r\n\xff`,
  ],
];

for (const [name, mending, before, after] of cases) {
  test(`mend header: ${name}`, () => assert.equal(mended(before, mending), after));
}

for (const value of [
  "((c)) relay.test",
  "(a\r\n b(c)) relay.test",
  '"relay.\\test"',
  "(\\)) relay.test",
]) {
  test(`mend header: results in our name go however they are written: ${JSON.stringify(value)}`, () => {
    assert.equal(
      mended(`Authentication-Results: ${value}; spf=pass\r\nA: b\r\n\r\n`, forged),
      "A: b\r\n\r\n",
    );
  });
}

test("mend header: what does not change is not copied", () => {
  const message = Buffer.from("A: b\r\n\r\nc");
  const [part, ...more] = mendHeader(message, none);
  assert.deepEqual([part?.buffer, part?.length, more.length], [message.buffer, message.length, 0]);
});
