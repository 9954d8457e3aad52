import assert from "node:assert/strict";
import { test } from "node:test";
import { normaliseLines, receivedLine, traceOf } from "./header.ts";

const mark = "(Mailroute mail/default)";
const line = {
  from: { helo: "client.test", address: "192.0.2.1" },
  hostname: "relay.test",
  mark,
  protocol: "ESMTP",
  id: "abc",
  recipient: "u@a.test",
  at: new Date(Date.UTC(2026, 0, 5, 10, 0, 0)),
};

test("header: a Received line is as RFC 5321 4.4 has it, folded", () => {
  assert.equal(
    receivedLine(line),
    "Received: from client.test ([192.0.2.1])\r\n\tby relay.test (Mailroute mail/default)\r\n\twith ESMTP id abc\r\n\tfor <u@a.test>;\r\n\tMon, 05 Jan 2026 10:00:00 +0000\r\n",
  );
});

test("header: where a message came from may be left out (RFC 5321 4.4 asks for by, not for from)", () => {
  assert.match(receivedLine({ ...line, from: undefined }), /^Received: by relay\.test \(Mailroute/);
});

test("header: what a client says in EHLO cannot end the line or forge a comment", () => {
  const made = receivedLine({
    ...line,
    from: { helo: "x\r\nEvil: y (by me) <z>", address: "2001:db8::1" },
    recipient: undefined,
  });
  assert.match(
    made,
    /^Received: from x\?\?Evil:\?y\?\?by\?me\?\?\?z\? \(\[IPv6:2001:db8::1\]\)\r\n\tby /,
  );
  assert.equal(made.split("\r\n").filter((each) => !each.startsWith("\t")).length, 2);
});

test("header: Received lines are counted in the header only, folded ones once, ours by their mark", () => {
  const other = "Received: from a\r\n by b\r\n";
  const body = Buffer.from(
    `${other}RECEIVED: x\r\n${receivedLine(line)}Subject: s\r\n\r\n${other.repeat(50)}`,
  );
  assert.deepEqual(traceOf(body, mark), { received: 3, passes: 1 });
  assert.deepEqual(traceOf(Buffer.from(`\r\n${other}`), mark), { received: 0, passes: 0 });
});

test("header: line endings are mended byte for byte, 8-bit octets stay", () => {
  const mended = normaliseLines(
    Buffer.from([0x61, 0x0a, 0x62, 0x0d, 0x00, 0xff, 0x0d, 0x0a, 0x0d, 0x0d, 0x0a]),
  );
  assert.deepEqual([...mended], [0x61, 13, 10, 0x62, 13, 10, 0xff, 13, 10, 13, 10, 13, 10]);
});
