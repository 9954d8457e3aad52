import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { baseOfTag, formatAddress, localKey, parseAddress, withoutSourceRoute } from "./address.ts";

test("address: local parts are read without their quotes", () => {
  const cases = [
    ["user@corp.example", "user", "corp.example"],
    ["User@CORP.example.", "User", "corp.example"],
    ['"a"@x', "a", "x"],
    ['"a b"@x', "a b", "x"],
    ['"a@b"@x', "a@b", "x"],
    ['"a\\"b"@x', 'a"b', "x"],
    ['"a\\b"@x', "ab", "x"],
    ['"a\\\\b"@x', "a\\b", "x"],
    ["user%other@here.example", "user%other", "here.example"],
    ["other!user@here.example", "other!user", "here.example"],
    ["a+b=c/d?e^f`g{h|i}j~k_l@x", "a+b=c/d?e^f`g{h|i}j~k_l", "x"],
    ["u@[192.0.2.1]", "u", "[192.0.2.1]"],
    ["u@[ipv6:2001:DB8::1]", "u", "[IPv6:2001:db8::1]"],
    [`${"a".repeat(64)}@x`, "a".repeat(64), "x"],
  ];
  for (const [text = "", local, domain] of cases) {
    const parsed = parseAddress(text);
    assert.deepEqual([parsed?.local, parsed?.domain], [local, domain], text);
  }
});

test("address: hostile spellings are refused", () => {
  const cases = [
    "",
    "user",
    "@corp.example",
    "user@",
    "user@@x",
    "a@b@x",
    ".a@x",
    "a.@x",
    "a..b@x",
    "a b@x",
    "a@x y",
    " a@x",
    "a@x ",
    "<a@x>",
    "a@x>",
    "a\n@x",
    "a@x\r\nRCPT TO:<b@y>",
    "a\0@x",
    '"a\0"@x',
    '"a\n"@x',
    '"a\\\n"@x',
    '"a@x',
    'a"@x',
    '"a"b@x',
    'a"b"@x',
    '""@x',
    '"a""b"@x',
    '"a\\"@x',
    "a,b@x",
    "a:b@x",
    "a;b@x",
    "a(b)@x",
    "a[b]@x",
    "a\\b@x",
    "a@[192.0.2.1",
    "a@192.0.2.1",
    "a@0x7f.1",
    "a@ex%61mple.test",
    "a@[127.1]",
    "@relay.example:a@x",
    `${"a".repeat(65)}@x`,
    `"${"a".repeat(63)}"@x`,
    `${"a".repeat(60)}@${"b.".repeat(97)}bb`,
    "ä@x",
    "a@ä.example",
  ];
  for (const text of cases) assert.equal(parseAddress(text), undefined, JSON.stringify(text));
});

test("address: UTF-8 where it was agreed, but nothing that cannot be seen", () => {
  assert.equal(parseAddress("ä@ä.example", { utf8: true })?.local, "ä");
  assert.equal(parseAddress('"ä ö"@x', { utf8: true })?.local, "ä ö");
  const hidden = [
    "a\u200b",
    "a\u00a0",
    "\u202ea",
    "a\u0085",
    "a\ud800",
    "a\u00ad",
    "a\ue000",
    "\u3164",
  ];
  for (const local of hidden) {
    assert.equal(parseAddress(`${local}@x`, { utf8: true }), undefined, JSON.stringify(local));
    assert.equal(parseAddress(`"${local}"@x`, { utf8: true }), undefined, JSON.stringify(local));
  }
  assert.equal(parseAddress(`${"ä".repeat(33)}@x`, { utf8: true }), undefined);
});

test("address: what is formatted is read back as the same mailbox", () => {
  const locals = fc.string({ unit: "grapheme", minLength: 1, maxLength: 30 });
  void fc.assert(
    fc.property(locals, fc.boolean(), (text, isQuoted) => {
      const written = isQuoted ? `"${text.replaceAll(/["\\]/g, "\\$&")}"` : text;
      const parsed = parseAddress(`${written}@corp.example`, { utf8: true });
      if (parsed === undefined) return;
      assert.deepEqual(parseAddress(formatAddress(parsed), { utf8: true }), parsed);
    }),
  );
});

test("address: local parts compare in NFC and lower case, and keys are their own keys", () => {
  assert.equal(localKey("CEO"), "ceo");
  assert.equal(localKey("A\u0308"), "ä");
  void fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      assert.equal(localKey(localKey(text)), localKey(text));
    }),
  );
});

test("address: the tag begins at the first plus, and an empty base is none", () => {
  assert.equal(baseOfTag("a+b+c"), "a");
  assert.equal(baseOfTag("a+"), "a");
  assert.equal(baseOfTag("a"), undefined);
  assert.equal(baseOfTag("+a"), undefined);
  assert.equal(baseOfTag("+"), undefined);
});

test("address: a source route is ignored, and only a source route", () => {
  assert.equal(withoutSourceRoute("@a.example,@b.example:u@c.example"), "u@c.example");
  assert.equal(withoutSourceRoute("u@c.example"), "u@c.example");
  assert.equal(withoutSourceRoute('"@a:b"@c.example'), '"@a:b"@c.example');
});
