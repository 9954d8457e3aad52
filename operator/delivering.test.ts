import assert from "node:assert/strict";
import { test } from "node:test";
import { deliveringOf } from "./delivering.ts";

const relay = (pod: string, failing: Readonly<Record<string, string>> = {}) => ({
  pod,
  digest: "d",
  failing: new Map(Object.entries(failing)),
});

test("delivering: True while no relay has trouble, Unknown where there is none to ask", () => {
  assert.equal(
    deliveringOf("mail/a", [relay("r0"), relay("r1", { "mail/b": "x" })]).status,
    "True",
  );
  assert.equal(deliveringOf("mail/a", []).status, "Unknown");
});

test("delivering: Unknown where a relay does not know all that fail of the namespace, and False where one does", () => {
  const crowded = { ...relay("r1", { "shop/b": "x" }), untold: new Set(["shop"]) };
  assert.deepEqual(
    ["shop/a", "shop/b", "mail/a"].map(
      (route) => deliveringOf(route, [relay("r0"), crowded]).status,
    ),
    ["Unknown", "False", "True"],
  );
});

test("delivering: False with the reasons of all relays, each once and in an order that stays", () => {
  const away = "mx1.test:25 cannot be connected to";
  const slow = "mx2.test:25 does not answer in time";
  const one = deliveringOf("mail/a", [
    relay("r0", { "mail/a": slow }),
    relay("r1", { "mail/a": away }),
  ]);
  const other = deliveringOf("mail/a", [
    relay("r0", { "mail/a": away }),
    relay("r1", { "mail/a": slow }),
    relay("r2", { "mail/a": away }),
  ]);
  assert.deepEqual([one.status, one.reason], ["False", "HostsFailing"]);
  assert.equal(one.message, `${away}; ${slow}; mail for it waits`);
  assert.deepEqual(other, one);
});
