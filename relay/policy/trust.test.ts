import assert from "node:assert/strict";
import { test } from "node:test";
import { networkSet } from "../../routing/network.ts";
import { isTrusted, type Origin, type TrustRules } from "./trust.ts";

const rules: TrustRules = {
  trustedNetworks: networkSet(["192.0.2.0/24", "2001:db8:1::/48", "127.0.0.0/8", "::1"]),
  neverTrusted: networkSet(["192.0.2.1", "192.0.2.128/25", "2001:db8:1::1"]),
  trustedListeners: new Set(["inside"]),
};

const listener = "smtp";
const cases: readonly (readonly [who: string, origin: Origin, trusted: boolean])[] = [
  ["an address of a trusted network", { listener, address: "192.0.2.7" }, true],
  ["the same, IPv4-mapped", { listener, address: "::ffff:192.0.2.7" }, true],
  ["the same, mapped in hexadecimal", { listener, address: "::ffff:c000:207" }, true],
  ["an IPv6 address of a trusted network", { listener, address: "2001:DB8:1:0::7" }, true],
  ["another address", { listener, address: "198.51.100.7" }, false],
  ["another IPv6 address", { listener, address: "2001:db8:2::7" }, false],
  ["no address", { listener, address: "" }, false],
  ["a node or gateway within a trusted network", { listener, address: "192.0.2.1" }, false],
  ["the same, IPv4-mapped", { listener, address: "::ffff:192.0.2.1" }, false],
  ["an IPv6 gateway", { listener, address: "2001:db8:1:0:0:0:0:1" }, false],
  ["an address of the nodes' network", { listener, address: "192.0.2.200" }, false],
  ["loopback, where it is listed", { listener, address: "127.0.0.1" }, true],
  ["anybody at a trusted listener", { listener: "inside", address: "198.51.100.7" }, true],
  ["a node at a trusted listener", { listener: "inside", address: "192.0.2.1" }, true],
  [
    "a trusted address behind a balancer",
    { listener, address: "192.0.2.7", balancer: "203.0.113.9" },
    true,
  ],
  [
    "a stranger behind a balancer of a trusted network",
    { listener, address: "198.51.100.7", balancer: "192.0.2.9" },
    false,
  ],
  ["a balancer's own connection", { listener, address: "192.0.2.9", balancer: "192.0.2.9" }, false],
  ["a node behind a balancer", { listener, address: "192.0.2.1", balancer: "203.0.113.9" }, false],
  [
    "the loopback of a balancer",
    { listener, address: "127.0.0.1", balancer: "203.0.113.9" },
    false,
  ],
  [
    "a stranger with a certificate",
    { listener, address: "198.51.100.7", clientName: "printer.test" },
    true,
  ],
  [
    "a node with a certificate",
    { listener, address: "192.0.2.1", clientName: "printer.test" },
    true,
  ],
  [
    "a balancer that shows a certificate itself",
    { listener, address: "192.0.2.9", balancer: "192.0.2.9", clientName: "balancer.test" },
    true,
  ],
  ["its IPv6 loopback", { listener, address: "::1", balancer: "203.0.113.9" }, false],
];

for (const [who, origin, trusted] of cases) {
  test(`trust: ${who} (${origin.address}) is ${trusted ? "" : "not "}trusted`, () => {
    assert.equal(isTrusted(origin, rules), trusted);
  });
}
