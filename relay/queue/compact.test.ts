import assert from "node:assert/strict";
import { test } from "node:test";
import type { Envelope } from "../spool/records.ts";
import type { Stored } from "../spool/spool.ts";
import { Compactor } from "./compact.ts";

const recipient = { address: "a@a.test", key: "suffix:a.test", expiresAtMs: 5, warnAtMs: 4 };
const plain: Envelope = {
  id: "A",
  session: "s",
  client: "192.0.2.1",
  trusted: true,
  sender: "me@home.test",
  recipients: [recipient],
  arrivedAtMs: 1,
  bytes: 2,
  crc: 3,
  eightBit: false,
  smtputf8: true,
};
const pending = { attempts: 1, dueAtMs: 2, warned: true, last: "451 4.4.1 refused" };
const asked: Envelope = {
  ...plain,
  ret: "HDRS",
  envid: "mine",
  recipients: [{ ...recipient, notify: ["SUCCESS"], orcpt: "rfc822;b@b.test" }, recipient],
};

const rows: readonly (readonly [string, Stored])[] = [
  ["nothing special", { envelope: plain, state: { recipients: [pending] } }],
  ["what its sender asked", { envelope: asked, state: { recipients: [null, pending] } }],
  [
    "a reason to be held, a person's key and a death",
    {
      envelope: plain,
      state: {
        recipients: [{ ...pending, key: "outbound" }],
        held: { sinceMs: 1, why: "by order" },
        deaths: 1,
      },
    },
  ],
  ["a lost state", { envelope: plain, state: { recipients: [pending] }, isStateLost: true }],
];
for (const [title, stored] of rows) {
  test(`compact: a message with ${title} is the same as before`, () => {
    assert.deepEqual(new Compactor().compact(stored), stored);
  });
}

test("compact: of more strings than are remembered none is lost or mistaken", () => {
  const compactor = new Compactor();
  for (let count = 0; count < 50_000; count++) {
    const envelope = { ...plain, sender: `${count}@home.test` };
    const { sender } = compactor.compact({ envelope, state: { recipients: [pending] } }).envelope;
    assert.equal(sender, `${count}@home.test`);
  }
});
