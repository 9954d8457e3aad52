import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { buildDsn, type Dsn } from "./dsn.ts";

const dsn: Dsn = {
  reportingHostname: "relay.test",
  from: "postmaster@relay.test",
  to: "sender@from.test",
  now: new Date("2026-03-04T05:06:07Z"),
  id: "report-1",
  original: {
    sender: "sender@from.test",
    arrivedAt: new Date("2026-03-04T05:00:00Z"),
    envid: "QQ314159",
    returned: "header",
    content: Buffer.from("From: sender@from.test\r\nSubject: hello\r\n"),
  },
  recipients: [
    {
      address: "a@to.test",
      action: "failed",
      reply: { code: 550, status: "5.1.1", text: "User unknown" },
      hop: "mx.to.test:25",
    },
    {
      address: "b@to.test",
      action: "failed",
      reply: { code: 451, status: "4.4.1", text: "connection refused" },
    },
  ],
  boundary: "boundary-0123456789",
};

/** Header block and parts of a multipart message, by the grammar and nothing else. */
function parse(message: Uint8Array): { head: string; parts: { head: string; body: string }[] } {
  const text = Buffer.from(message).toString("utf8");
  const [top = "", ...rest] = text.split("\r\n--boundary-0123456789");
  assert.equal(rest.pop(), "--\r\n");
  const parts = rest.map((part) => {
    const at = part.indexOf("\r\n\r\n");
    return { head: part.slice(2, at), body: part.slice(at + 4) };
  });
  return { head: top.slice(0, top.indexOf("\r\n\r\n")), parts };
}

test("dsn: a report as RFC 3464 has it, with words for people", () => {
  const { head, parts } = parse(buildDsn(dsn));
  const lines = head.split("\r\n");
  for (const line of [
    "From: Mail Delivery System <postmaster@relay.test>",
    "To: <sender@from.test>",
    "Date: Wed, 04 Mar 2026 05:06:07 +0000",
    "Message-ID: <report-1@relay.test>",
    "Auto-Submitted: auto-replied",
    "MIME-Version: 1.0",
    "Content-Type: multipart/report; report-type=delivery-status;",
  ]) {
    assert.ok(lines.includes(line), line);
  }
  const types = parts.map((part) => part.head.split("\r\n")[0]);
  assert.deepEqual(types, [
    "Content-Type: text/plain; charset=us-ascii",
    "Content-Type: message/delivery-status",
    "Content-Type: text/rfc822-headers",
  ]);
  assert.match(parts[0]?.body ?? "", /There is no such mailbox\.\r\n {4}Correct the address/);
  assert.deepEqual(parts[1]?.body.split("\r\n"), [
    "Reporting-MTA: dns; relay.test",
    "Original-Envelope-Id: QQ314159",
    "Arrival-Date: Wed, 04 Mar 2026 05:00:00 +0000",
    "",
    "Final-Recipient: rfc822; a@to.test",
    "Action: failed",
    "Status: 5.1.1",
    "Remote-MTA: dns; mx.to.test",
    "Diagnostic-Code: smtp; 550 5.1.1 User unknown",
    "",
    "Final-Recipient: rfc822; b@to.test",
    "Action: failed",
    "Status: 5.4.1",
    "Diagnostic-Code: x-mailroute; 451 4.4.1 connection refused",
    "",
  ]);
  assert.equal(parts[2]?.body, "From: sender@from.test\r\nSubject: hello\r\n");
});

test("dsn: a delay says that nothing needs to be done and until when it is tried", () => {
  const [first] = dsn.recipients;
  assert.ok(first);
  const delayed = {
    ...first,
    action: "delayed" as const,
    retryUntil: new Date("2026-03-09T05:00:00Z"),
  };
  const { head, parts } = parse(buildDsn({ ...dsn, recipients: [delayed] }));
  assert.match(head, /Subject: Delayed mail/);
  assert.match(parts[0]?.body ?? "", /nothing that you need to do/);
  assert.match(parts[1]?.body ?? "", /Action: delayed\r\nStatus: 4\.1\.1/);
  assert.match(parts[1]?.body ?? "", /Will-Retry-Until: Mon, 09 Mar 2026 05:00:00 \+0000/);
});

test("dsn: a recipient outside ASCII is escaped for a sender inside, and plain for one outside", () => {
  const [first] = dsn.recipients;
  assert.ok(first);
  const recipients = [{ ...first, address: "jörg@to.test" }];
  const escaped = Buffer.from(buildDsn({ ...dsn, recipients }));
  assert.ok(escaped.every((octet) => octet < 0x80));
  assert.match(escaped.toString(), /Final-Recipient: utf-8; j\\x\{F6\}rg@to\.test/);
  const plain = parse(buildDsn({ ...dsn, recipients, to: "ü@from.test" }));
  assert.match(plain.head, /report-type=global-delivery-status/);
  assert.match(plain.parts[1]?.head ?? "", /message\/global-delivery-status/);
  assert.match(plain.parts[1]?.body ?? "", /Final-Recipient: utf-8; jörg@to\.test/);
});

test("dsn: nothing that came from elsewhere begins a header or a part, or makes a long line", () => {
  const nasty = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc
      .array(
        fc.constantFrom("\r\n", "\n", "\r", "Bcc: x", "--boundary-0123456789", "\u2028", "é"),
        { maxLength: 9 },
      )
      .map((list) => list.join("")),
    fc.constant("x".repeat(5000)),
  );
  fc.assert(
    fc.property(nasty, nasty, fc.boolean(), (text, address, utf8) => {
      const recipient = {
        address,
        action: "failed" as const,
        hop: text,
        reply: { code: 550, status: text, text },
        originalRecipient: text,
      };
      const message = buildDsn({
        ...dsn,
        to: utf8 ? "ü@from.test" : "sender@from.test",
        recipients: [recipient],
        original: { ...dsn.original, envid: text },
      });
      const { head, parts } = parse(message);
      assert.equal(head.split("\r\n").length, utf8 ? 10 : 9);
      assert.equal(parts.length, 3);
      assert.equal(parts[1]?.body.split("\r\n").length, 11);
      const lines = Buffer.from(message).toString("latin1").split("\r\n");
      for (const line of lines) assert.ok(!/[\r\n]/.test(line) && line.length <= 3700);
      if (!utf8) assert.ok(lines.every((line) => line.length <= 998));
    }),
  );
});
