/** PROXY headers: never throws, an answer stays what it is, and nothing after the header counts. */
import assert from "node:assert/strict";
import { isIP } from "node:net";
import { parseProxyHeader } from "../../relay/listener/proxy-header.ts";
import type { Target } from "./target.ts";

const signature = "\r\n\r\n\0\r\nQUIT\n";
const inet = "\xc0\x00\x02\x01\xc6\x33\x64\x07\x9c\x40\x00\x19";

export const proxyHeaders: Target = {
  name: "proxy-headers",
  tokens: [
    "PROXY ",
    "TCP4 ",
    "TCP6 ",
    "UNKNOWN",
    "192.0.2.1 ",
    "::1 ",
    "25\r\n",
    signature,
    "\x21\x11",
    "\x00\x0c",
    inet,
  ],
  seeds: [
    "PROXY TCP4 192.0.2.1 198.51.100.7 40000 25\r\nEHLO x\r\n",
    "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n",
    "PROXY UNKNOWN whatever\r\n",
    `${signature}\x21\x11\x00\x0c${inet}EHLO x\r\n`,
    `${signature}\x20\x00\x00\x00`,
    `${signature}\x21\x11\x00\x13${inet}\x04\x00\x04abcd`,
    `${signature}\x21\x21\x00\x24${"\x20\x01\x0d\xb8".repeat(8)}\x9c\x40\x00\x19`,
    `${signature}\x21\x31\x00\xd8${"x".repeat(216)}`,
  ],
  check(input) {
    const whole = parseProxyHeader(input);
    // Where the answer shows; before it there is none, after it there is no other.
    let shown = 0;
    while (shown < input.length && parseProxyHeader(input.subarray(0, shown)).kind === "more")
      shown += 1;
    const first = parseProxyHeader(input.subarray(0, shown));
    assert.deepEqual(first, whole, `as ${shown} bytes said`);
    if (whole.kind === "more") return;
    const others = ["", "\r\n", "\0".repeat(40), "EHLO x\r\n".repeat(30)];
    for (const other of others) {
      const follows = Buffer.concat([input.subarray(0, shown), Buffer.from(other)]);
      const got = parseProxyHeader(follows);
      assert.equal(got.kind, whole.kind);
      if (whole.kind === "header") assert.deepEqual(got, whole);
    }
    if (whole.kind !== "header") return;
    assert.equal(whole.bytes, shown, "the header is what was needed to say so");
    const { forwarded } = whole;
    if (forwarded === undefined) return;
    for (const { address, port } of [forwarded.source, forwarded.destination]) {
      assert.notEqual(isIP(address), 0, address);
      assert.doesNotMatch(address, /^::ffff:(?:[^:]+:[^:]+|.*\..*)$/);
      assert.ok(Number.isInteger(port) && port >= 0 && port <= 65_535);
    }
  },
};
