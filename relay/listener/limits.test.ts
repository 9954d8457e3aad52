import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "./dialog.testkit.ts";
import { Admission, networkOf, ReceivingBytes } from "./limits.ts";

const NETWORKS: readonly (readonly [string, string])[] = [
  ["192.0.2.7", "192.0.2.7"],
  ["2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"],
  ["2001:db8:0:1::9", "2001:db8:0:1::/64"],
  ["2001:db8::9", "2001:db8:0:0::/64"],
  ["::1", "0:0:0:0::/64"],
  ["fe80::1%eth0", "fe80:0:0:0::/64"],
];

for (const [address, want] of NETWORKS) {
  test(`networkOf: ${address} is counted as ${want}`, () => assert.equal(networkOf(address), want));
}

test("Admission: counts in total and by network, and forgets who left", () => {
  const admission = new Admission({ ...LIMITS, connectionsMax: 3, connectionsPerClientMax: 2 });
  assert.equal(admission.enter("2001:db8::1"), undefined);
  assert.equal(admission.enter("2001:db8::2"), undefined);
  assert.equal(admission.enter("2001:db8::3"), "connectionsPerClientMax");
  admission.leave("2001:db8::3");
  assert.equal(admission.enter("192.0.2.1"), undefined);
  assert.equal(admission.enter("192.0.2.2"), "connectionsMax");
  admission.leave("192.0.2.2");
  admission.leave("2001:db8::1");
  assert.equal(admission.enter("2001:db8::4"), undefined);
});

test("ReceivingBytes: takes up to its bounds and not a byte more, each network its own share", () => {
  const bytes = new ReceivingBytes({ receivingBytesMax: 10, receivingBytesPerClientMax: 6 });
  assert.equal(bytes.take("a", 6), undefined);
  assert.equal(bytes.take("a", 1), "receivingBytesPerClientMax");
  assert.equal(bytes.take("b", 4), undefined);
  assert.equal(bytes.take("b", 1), "receivingBytesMax");
  bytes.release("a", 4);
  assert.equal(bytes.take("b", 3), "receivingBytesPerClientMax");
  assert.equal(bytes.take("b", 2), undefined);
  assert.equal(bytes.used, 8);
});
