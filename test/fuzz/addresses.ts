/** Addresses, domains and literals: never throws, what is read is written and read again, no other names. */
import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import {
  type Address,
  baseOfTag,
  formatAddress,
  localKey,
  parseAddress,
  withoutSourceRoute,
} from "../../routing/address.ts";
import { parseDomain, parseIp, parseLiteral } from "../../routing/domain.ts";
import type { Target } from "./target.ts";

export const addresses: Target = {
  name: "addresses",
  tokens: [
    "xn--",
    "xn--bcher-kva",
    ".test",
    "@",
    "@x.test",
    "0x7f.1",
    "%2e",
    "127.1",
    "[IPv6:",
    "::ffff:",
    "1::",
    "[192.0.2.1]",
    '"a b"',
    "\xe3\x80\x82",
    "\xef\xbc\x8e",
    "\xc3\x9f",
    "\xe2\x80\x8d",
    "\xc2\xad",
    "\xd7\x90",
    "\xe1\x84\x80",
    "\xcc\x88",
    "\xef\xbb\xbf",
    "\xef\xbf\xbd",
    "\xf3\xa0\x80\x81",
    "\xc4\xb0",
    "\xe2\x84\xaa",
  ],
  seeds: [
    "user@x.test",
    "User+tag@Sub.X.TEST.",
    "j\xc3\xbcrgen@b\xc3\xbccher.test",
    '"a b\\"c"@x.test',
    "@hop.test,@hop2.test:user@x.test",
    "user@[IPv6:2001:db8::ffff:192.0.2.1]",
    "user@[192.0.2.1]",
    "user@XN--BCHER-KVA.test",
    "user%other@x.test",
    `${"l".repeat(64)}@${"d".repeat(63)}.${"d".repeat(63)}.${"d".repeat(57)}.test`,
    "2001:DB8:0::1",
  ],
  check(input) {
    // Also what the listener would not hand on, lone surrogates among it.
    for (const text of [input.toString(), input.toString("latin1"), input.toString("utf16le")]) {
      for (const options of [{ utf8: true }, { utf8: false }]) {
        const address = parseAddress(text, options);
        if (address !== undefined) checkAddress(address, { text, ...options });
        checkName(parseDomain(text, options));
        checkName(parseDomain(text.slice(text.lastIndexOf("@") + 1), options));
      }
      checkLiteral(parseLiteral(text));
      const ip = parseIp(text);
      if (ip !== undefined) {
        assert.ok(isIPv4(ip) || isIPv6(ip), `an address, not ${ip}`);
        assert.equal(parseIp(ip), ip);
      }
      withoutSourceRoute(text);
      baseOfTag(text);
      localKey(text);
    }
  },
};

function checkAddress(address: Address, from: { text: string; utf8: boolean }): void {
  const written = formatAddress(address);
  const options = { utf8: from.utf8 };
  // Quotes that were not needed go, those that are needed were there: it never gets longer.
  assert.deepEqual(parseAddress(written, options), address, `${written} reads the same`);
  assert.doesNotMatch(written, /[\r\n\0]/);
  assert.equal(localKey(localKey(address.local)), localKey(address.local));
  if (address.isLiteral) checkLiteral(address.domain);
  else checkName(address.domain);
}

/** RFC 1123 section 2.1, said once more. */
function checkName(name: string | undefined): void {
  if (name === undefined) return;
  const labels = name.split(".");
  assert.ok(name.length <= 253, "253 octets at most");
  for (const label of labels) {
    assert.match(label, /^[a-z0-9-]{1,63}$/, name);
    assert.ok(!label.startsWith("-") && !label.endsWith("-"), name);
  }
  assert.doesNotMatch(labels.at(-1) ?? "", /^(?:\d+|0x[\da-f]*)$/, name);
  assert.ok(!isIPv4(name), name);
  assert.equal(parseDomain(name), name, "a canonical name stays as it is");
  assert.equal(parseDomain(`${name.toUpperCase()}.`), name, "in capitals and with a dot too");
}

function checkLiteral(literal: string | undefined): void {
  if (literal === undefined) return;
  const [, v6, v4 = ""] = /^\[(?:IPv6:(.*)|(.*))\]$/.exec(literal) ?? [];
  assert.ok(v6 === undefined ? isIPv4(v4) : isIPv6(v6), literal);
  assert.equal(parseLiteral(literal), literal);
}
