import assert from "node:assert/strict";
import { test } from "node:test";
import { networkSet, plainAddress } from "./networks.ts";

const cases: readonly { set: string[]; address: string; want: boolean }[] = [
  { set: ["10.0.0.0/8"], address: "10.1.2.3", want: true },
  { set: ["10.0.0.0/8"], address: "11.1.2.3", want: false },
  { set: ["10.0.0.0/8"], address: "::ffff:10.1.2.3", want: true },
  { set: ["10.0.0.0/8"], address: "::ffff:a01:203", want: true },
  { set: ["::ffff:10.0.0.0/104"], address: "10.9.9.9", want: true },
  { set: ["::ffff:10.0.0.0/104"], address: "11.9.9.9", want: false },
  { set: ["192.0.2.7"], address: "192.0.2.7", want: true },
  { set: ["192.0.2.7"], address: "192.0.2.8", want: false },
  { set: ["2001:db8::/32"], address: "2001:db8:1::1", want: true },
  { set: ["2001:db8::/32"], address: "2001:db9::1", want: false },
  { set: ["::/0"], address: "192.0.2.1", want: false },
  { set: ["0.0.0.0/0"], address: "::1", want: false },
  { set: [], address: "127.0.0.1", want: false },
  { set: ["0.0.0.0/0"], address: "nonsense", want: false },
];

for (const { set, address, want } of cases) {
  test(`networks: ${address} is ${want ? "" : "not "}in {${set.join(", ")}}`, () => {
    assert.equal(networkSet(set).has(address), want);
  });
}

test("networks: an address is shown unmapped and without a zone", () => {
  assert.equal(plainAddress("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(plainAddress("fe80::1%eth0"), "fe80::1");
});
