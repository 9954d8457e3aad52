import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isSafeAddress, parseExtensions } from "./commands.ts";
import { headerBlock } from "./header.ts";
import { isOwn } from "./own.ts";
import { parseReply } from "./reply.ts";
import { stuff } from "./stuffing.ts";

const replies: readonly [raw: string, want: string | undefined][] = [
  ["250 2.0.0 Ok: queued", "250 2.0.0 Ok: queued"],
  ["250 Ok", "250 2.0.0 Ok"],
  ["250", "250 2.0.0 "],
  ["550 5.1.1", "550 5.1.1 "],
  ["550 5.1.1.2 x", "550 5.0.0 5.1.1.2 x"],
  ["450 5.1.1 class follows the code", "450 4.1.1 class follows the code"],
  ["550-5.7.1 first\n550-5.7.1 second\n550 5.7.1 third", "550 5.7.1 first second third"],
  ["550-one\n550 two", "550 5.0.0 one two"],
  ["554 bell\u0007 and \u2028 line", "554 5.0.0 bell  and   line"],
  ["550-one\n551 two", undefined],
  ["550-one\ntwo", undefined],
  ["hello", undefined],
  ["999 no", undefined],
  ["150 no", undefined],
  ["2500 no", undefined],
  ["", undefined],
];

for (const [raw, want] of replies) {
  test(`reply: ${JSON.stringify(raw)} is ${want === undefined ? "no reply" : "read"}`, () => {
    const reply = parseReply(raw);
    assert.equal(reply && `${reply.code} ${reply.status} ${reply.text}`, want);
  });
}

test("reply: no text makes one longer than 1000 characters", () => {
  assert.ok((parseReply(`250 ${"x".repeat(100_000)}`)?.text.length ?? 0) <= 1000);
  assert.ok((parseReply(`${"250-x\n".repeat(100_000)}250 x`)?.text.length ?? 0) <= 1000);
});

test("commands: keywords count only as the first word of a line after the first", () => {
  const extensions = parseExtensions(
    "250-host PIPELINING\n250-size 1000\n250-X-STARTTLS 8BITMIME\n250-AUTH PLAIN\n250-AUTH=LOGIN\n250 SMTPUTF8",
  );
  assert.deepEqual(extensions, {
    pipelining: false,
    size: true,
    messageBytesMax: 1000,
    eightBitMime: false,
    smtputf8: true,
    dsn: false,
    auth: ["PLAIN", "LOGIN"],
  });
});

test("commands: no address with a control, a bare bracket or a bare space is safe", () => {
  const bad = fc.constantFrom("\r", "\n", "\0", "\u0085", "\u2028", "\u007f", "<", ">", " ");
  fc.assert(
    fc.property(fc.string(), bad, fc.string(), (before, one, after) => {
      const quoted = /["\\]/.test(before + after);
      assert.ok(quoted || !isSafeAddress(before + one + after));
      if (one < " " || one > "~") assert.ok(!isSafeAddress(`"${before}${one}${after}"@x.test`));
    }),
  );
  for (const address of ["", "a@b", '"a b>"@c', "é@ü.test", "a+b!c%d@[192.0.2.1]"]) {
    assert.ok(isSafeAddress(address), address);
  }
});

test("stuffing: taking the dots away again gives the same bytes, and only the end is a lone dot", () => {
  const bytes = fc.array(fc.constantFrom(".", "\r\n", "\r", "\n", "a", "\u00ff"), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(bytes, (pieces) => {
      const body = Buffer.from(`${pieces.join("")}\r\n`, "latin1");
      const wire = Buffer.concat(stuff(body)).toString("latin1");
      assert.ok(wire.endsWith("\r\n.\r\n"));
      const content = wire.slice(0, -3);
      assert.equal(`\r\n${content}`.indexOf("\r\n.\r\n"), -1);
      assert.equal(
        `\r\n${content}`.replaceAll("\r\n..", "\r\n.").slice(2),
        body.toString("latin1"),
      );
    }),
  );
});

test("stuffing: a big body without dots is not copied, and one without a last line end gets it", () => {
  const big = Buffer.alloc(100_000, "x\r\n");
  big.write("\r\n", big.length - 2);
  assert.equal((stuff(big)[0] as Buffer).buffer, big.buffer);
  assert.equal(Buffer.concat(stuff(Buffer.from("a"))).toString(), "a\r\n.\r\n");
  assert.equal(Buffer.concat(stuff(Buffer.from(""))).toString(), ".\r\n");
  assert.equal(Buffer.concat(stuff(Buffer.from(".\r\n"))).toString(), "..\r\n.\r\n");
});

test("header: the block ends at the blank line, or at a whole line within the bound", () => {
  const message = Buffer.from("A: 1\r\nB: 2\r\n\r\nC: 3\r\n");
  const cut = (bytes: number): string => Buffer.from(headerBlock(message, bytes)).toString();
  assert.equal(cut(100), "A: 1\r\nB: 2\r\n");
  assert.equal(cut(11), "A: 1\r\n");
  assert.equal(cut(6), "A: 1\r\n");
  assert.equal(cut(5), "");
  assert.equal(headerBlock(Buffer.from("\r\nbody"), 100).length, 0);
  assert.equal(Buffer.from(headerBlock(Buffer.from("A: 1\r\n"), 100)).toString(), "A: 1\r\n");
});

test("own: our own listener is known by address and port, on every address by loopback", () => {
  const own = [
    { address: "10.0.0.5", port: 2525 },
    { address: "::", port: 25 },
  ];
  assert.ok(isOwn({ address: "10.0.0.5", port: 2525 }, own));
  assert.ok(isOwn({ address: "::ffff:10.0.0.5", port: 2525 }, own));
  assert.ok(isOwn({ address: "127.0.0.1", port: 25 }, own));
  assert.ok(!isOwn({ address: "10.0.0.5", port: 25 }, own));
  assert.ok(!isOwn({ address: "10.0.0.6", port: 2525 }, own));
});
