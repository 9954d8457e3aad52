import assert from "node:assert/strict";
import { test } from "node:test";
import { alwaysDenied, hostlessNetworks, isDeniedAddress, networkSet } from "./network.ts";

const cases: readonly { set: string[]; address: string; want: boolean }[] = [
  { set: ["10.0.0.0/8"], address: "10.1.2.3", want: true },
  { set: ["10.0.0.0/8"], address: "11.1.2.3", want: false },
  { set: ["10.0.0.0/8"], address: "::ffff:10.1.2.3", want: true },
  { set: ["10.0.0.0/8"], address: "::ffff:a01:203", want: true },
  { set: ["10.9.9.9/8"], address: "10.1.2.3", want: true },
  { set: ["::ffff:10.0.0.0/104"], address: "10.9.9.9", want: true },
  { set: ["::ffff:10.0.0.0/104"], address: "11.9.9.9", want: false },
  { set: ["192.0.2.7"], address: "192.0.2.7", want: true },
  { set: ["192.0.2.7"], address: "192.0.2.8", want: false },
  { set: ["::ffff:192.0.2.7"], address: "192.0.2.7", want: true },
  { set: ["2001:db8::/32"], address: "2001:db8:1::1", want: true },
  { set: ["2001:db8::/32"], address: "2001:DB8:1:0:0:0:0:1", want: true },
  { set: ["2001:db8::/32"], address: "2001:db9::1", want: false },
  { set: ["2001:db8::/32", "198.51.100.0/24", "10.0.0.0/8"], address: "10.0.0.1", want: true },
  { set: ["fe80::/10"], address: "fe80::1%eth0", want: true },
  { set: ["::/0"], address: "192.0.2.1", want: false },
  { set: ["0.0.0.0/0"], address: "192.0.2.1", want: true },
  { set: ["0.0.0.0/0"], address: "::1", want: false },
  { set: [], address: "127.0.0.1", want: false },
  { set: ["0.0.0.0/0"], address: "nonsense", want: false },
];

for (const { set, address, want } of cases) {
  test(`networks: ${address} is ${want ? "" : "not "}in {${set.join(", ")}}`, () => {
    assert.equal(networkSet(set).has(address), want);
  });
}

test("networks: what is no network is refused, and a mapped one wider than IPv4 as well", () => {
  for (const text of [
    "nonsense/8",
    "10",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/08",
    "10.0.0.0/8/8",
    "::/129",
    "::ffff:10.0.0.0/90",
    "fe80::1%eth0",
  ]) {
    assert.throws(() => networkSet([text]), RangeError, text);
  }
});

const hostless = [
  "127.0.0.1",
  "127.9.9.9",
  "::1",
  "0.0.0.0",
  "::",
  "169.254.1.1",
  "fe80::1",
  "224.0.0.1",
  "255.255.255.255",
  "ff02::1",
  "::ffff:127.0.0.1",
];

test("networks: nobody's mail host is on loopback, a link or a group, in any spelling", () => {
  const set = networkSet(hostlessNetworks);
  for (const address of hostless) assert.ok(set.has(address), address);
  for (const address of ["192.0.2.1", "10.0.0.1", "2001:db8::1"]) {
    assert.ok(!set.has(address), address);
  }
});

test("networks: a route reaches denied networks only as far as a grant names them", () => {
  const denied = networkSet([...alwaysDenied, "10.96.0.0/12"]);
  for (const address of [...hostless, "10.96.0.1", "::ffff:10.96.0.1", "64:ff9b::7f00:1", "bad"]) {
    assert.ok(isDeniedAddress(address, { denied, reach: undefined }), address);
    assert.ok(isDeniedAddress(address, { denied, reach: ["10.112.0.0/12"] }), address);
    assert.ok(!isDeniedAddress(address, { denied, reach: "anywhere" }), address);
  }
  assert.ok(!isDeniedAddress("10.96.0.1", { denied, reach: ["10.96.0.0/24"] }));
  assert.ok(isDeniedAddress("10.97.0.1", { denied, reach: ["10.96.0.0/24"] }));
  assert.ok(!isDeniedAddress("192.0.2.1", { denied, reach: undefined }));
});
