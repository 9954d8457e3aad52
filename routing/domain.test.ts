import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDomain, parseIp, parseLiteral } from "./domain.ts";

const label63 = "a".repeat(63);
const name253 = `${`${label63}.`.repeat(3)}${"a".repeat(61)}`;

test("domain: good names become lower case without a trailing dot", () => {
  const cases = [
    ["corp.example", "corp.example"],
    ["CORP.Example.", "corp.example"],
    ["localhost", "localhost"],
    ["a", "a"],
    ["1.2.3.example", "1.2.3.example"],
    ["3com.example", "3com.example"],
    ["a-b--c.example", "a-b--c.example"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["XN--BCHER-KVA.example", "xn--bcher-kva.example"],
    ["constructor", "constructor"],
    [label63, label63],
    [name253, name253],
    [`${name253}.`, name253],
    ["example.0xg", "example.0xg"],
    ["example.1a", "example.1a"],
  ];
  for (const [text = "", expected] of cases) assert.equal(parseDomain(text), expected, text);
});

/** Refused with and without utf8. */
const hostile = [
  "",
  ".",
  "..",
  ".corp.example",
  "corp..example",
  "corp.example..",
  " corp.example",
  "corp.example ",
  "corp .example",
  "corp.example\n",
  "corp.example\r\n",
  "corp.example\0",
  "corp\t.example",
  "-corp.example",
  "corp-.example",
  "corp.-example",
  "corp_a.example",
  "*.example",
  "ex%61mple.test",
  "example.test%00",
  "example.test/",
  "example.test/path",
  "example.test\\",
  "example.test:25",
  "example.test#x",
  "example.test?x",
  "user@example.test",
  "example.test@other.test",
  "[192.0.2.1]",
  "[192.0.2.1",
  "192.0.2.1",
  "192.0.2.1.",
  "127.1",
  "2130706433",
  "0x7f.1",
  "0x7f000001",
  "0X7F.0X1",
  "0177.0.0.1",
  "1.2.3.4.5",
  "example.1",
  "example.0x",
  "example.0x1",
  "::1",
  "2001:db8::1",
  "a,b",
  "a;b",
  "a|b",
  "a!b",
  "a+b.example",
  "a'b.example",
  'a"b.example',
  "a(b).example",
  "<corp.example>",
  "a=b",
  "a~b",
  "xn--",
  "xn--.example",
  "xn--a.example",
  "xn--0.example",
  "xn--zz-zz.example",
  "xn--example-.example",
  "xn--ls8h.example",
  "xn--ab-j1t.example",
  `a${label63}.example`,
  `${name253}a`,
  `${"a.".repeat(127)}aa`,
  "a\u00adb.example",
  "a\u200bb.example",
  "a\u200db.example",
  "a\u2060b.example",
  "a\ufeffb.example",
  "a\u202eb.example",
  "a\u034fb.example",
  "a\ufe0fb.example",
  "\u3164.example",
  "\u115f.example",
  "\uffa0.example",
  "\u0301a.example",
  "a\u3002example",
  "a\uff0eexample",
  "１２７．０．０．１",
  "127.0.0.１",
  "example.１",
  "example.٣",
  "example.０x7f",
  "example.0ｘ7f",
  "ex\uff05\uff16\uff11mple.test",
  "💩.example",
  "a\ud800.example",
  "a\ue000.example",
  "a／b.example",
  "a：25",
  "⒈example",
];

test(`domain: ${hostile.length} hostile spellings are refused`, () => {
  for (const text of hostile) {
    assert.equal(parseDomain(text), undefined, JSON.stringify(text));
    assert.equal(parseDomain(text, { utf8: true }), undefined, `${JSON.stringify(text)} (utf8)`);
  }
});

test("domain: UTF-8 only where it was agreed, and then as A-labels", () => {
  const cases = [
    ["bücher.example", "xn--bcher-kva.example"],
    ["BÜCHER.example.", "xn--bcher-kva.example"],
    ["bu\u0308cher.example", "xn--bcher-kva.example"],
    ["faß.example", "xn--fa-hia.example"],
    ["例え.テスト", "xn--r8jz45g.xn--zckzah"],
    ["l·l.example", "xn--ll-0ea.example"],
    ["１２７.example", "127.example"],
    ["Ｃorp.example", "corp.example"],
  ];
  for (const [text = "", expected] of cases) {
    assert.equal(parseDomain(text), undefined, text);
    assert.equal(parseDomain(text, { utf8: true }), expected, text);
  }
});

test("domain: what has been parsed parses to itself", () => {
  for (const text of ["bücher.example", "例え.テスト", "CORP.example", "a.b.c"]) {
    const once = parseDomain(text, { utf8: true }) ?? "";
    assert.equal(parseDomain(once), once, text);
  }
});

test("literal: one canonical spelling for each address", () => {
  const cases = [
    ["[192.0.2.1]", "[192.0.2.1]"],
    ["[IPv6:2001:DB8:0:0:0:0:0:1]", "[IPv6:2001:db8::1]"],
    ["[ipv6:2001:db8::1]", "[IPv6:2001:db8::1]"],
    ["[IPv6:::1]", "[IPv6:::1]"],
    ["[IPv6:::ffff:192.0.2.1]", "[192.0.2.1]"],
    ["[IPv6:::ffff:c000:201]", "[192.0.2.1]"],
    ["[IPv6:2001:db8::192.0.2.1]", "[IPv6:2001:db8::c000:201]"],
  ];
  for (const [text = "", expected] of cases) assert.equal(parseLiteral(text), expected, text);
});

test("literal: everything else is refused", () => {
  const cases = [
    "[]",
    "[1]",
    "[127.1]",
    "[0x7f.0.0.1]",
    "[0177.0.0.1]",
    "[192.0.2.01]",
    "[192.0.2.256]",
    "[192.0.2.1.]",
    "[192.0.2]",
    "[2130706433]",
    "[ 192.0.2.1]",
    "[192.0.2.1 ]",
    "[192.0.2.1]x",
    "192.0.2.1",
    "[::1]",
    "[2001:db8::1]",
    "[IPv6:192.0.2.1]",
    "[IPv6:]",
    "[IPv6::]",
    "[IPv6:1::2::3]",
    "[IPv6:fe80::1%eth0]",
    "[IPv6:::ffff:192.0.2.01]",
    "[IPv6:::ffff:192.0.2]",
    "[IPv6:12345::]",
    "[IPv6:1:2:3:4:5:6:7:8:9]",
    "[tag:content]",
    "[192.0.2.1\n]",
    "[１９２.0.2.1]",
  ];
  for (const text of cases) assert.equal(parseLiteral(text), undefined, JSON.stringify(text));
});

test("ip: strict dotted decimal and IPv6, mapped addresses as IPv4", () => {
  assert.equal(parseIp("192.0.2.1"), "192.0.2.1");
  assert.equal(parseIp("2001:DB8::"), "2001:db8::");
  assert.equal(parseIp("::ffff:10.0.0.1"), "10.0.0.1");
  for (const text of [
    "",
    "1",
    "1.2.3",
    "1.2.3.04",
    "1.2.3.4.",
    "0x1.2.3.4",
    "host",
    "[::1]",
    ":",
  ]) {
    assert.equal(parseIp(text), undefined, text);
  }
});
