import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAddress } from "../../routing/address.ts";
import { compiled, mailGrant } from "../../routing/compile.testkit.ts";
import type { Identity } from "../auth/identity.ts";
import { authorsRefusal, envelopeRefusal, submitterOf } from "./submitter.ts";

const grant = mailGrant("shop", {
  namespaces: { names: ["shop"] },
  suffixes: ["shop.example"],
  senders: { suffixes: ["shop.example"], addresses: ["billing@corp.example"] },
});
const namespaces = new Map(["shop", "team"].map((name) => [name, new Map<string, string>()]));
const { table } = compiled([], {
  grants: [grant],
  references: { secrets: new Map(), namespaces },
});

const account = (namespace: string): Identity => ({
  kind: "serviceAccount",
  name: `${namespace}/app`,
  namespace,
  senders: undefined,
});
const user: Identity = { kind: "user", name: "joe", namespace: "", senders: [] };

const envelopes: readonly [who: string, from: string, code: number | undefined][] = [
  ["shop", "a@shop.example", undefined],
  ["shop", "a@eu.shop.example", undefined],
  ["shop", "Billing@Corp.example", undefined],
  ["shop", "billing+x@corp.example", 550],
  ["shop", "ceo@corp.example", 550],
  ["shop", "a@notshop.example", 550],
  ["shop", "", 550],
  ["team", "a@shop.example", 550],
  ["nowhere", "a@shop.example", 550],
  // The installation's own namespace.
  ["mail", "anyone@anywhere.example", undefined],
  ["mail", "", undefined],
];

for (const [who, from, code] of envelopes) {
  test(`submitter: ${who} as <${from}> is ${code ?? "let through"}`, () => {
    const submitter = submitterOf(account(who), { table, stale: false });
    const sender = from === "" ? undefined : parseAddress(from);
    assert.equal(envelopeRefusal(submitter, sender)?.code, code);
    const body = Buffer.from(from === "" ? "\r\n" : `From: <${from}>\r\n\r\n`);
    if (from !== "") assert.equal(authorsRefusal(submitter, body)?.code, code);
  });
}

test("submitter: every author counts, and one that is not clear is refused", () => {
  const submitter = submitterOf(account("shop"), { table, stale: false });
  const refusalOf = (header: string) =>
    authorsRefusal(submitter, Buffer.from(`${header}\r\n\r\n`))?.text;
  assert.equal(refusalOf("From: a@shop.example"), undefined);
  assert.match(refusalOf("From: a@shop.example, ceo@corp.example") ?? "", /<ceo@corp\.example>/);
  assert.match(refusalOf("From: a@shop.example\r\nSender: ceo@corp.example") ?? "", /ceo/);
  assert.match(refusalOf("From: a@shop.example\r\nFrom: ceo@corp.example") ?? "", /more than one/);
});

test("submitter: with an old table what is not given is deferred, and what is given is let through", () => {
  const submitter = submitterOf(account("shop"), { table, stale: true });
  assert.equal(envelopeRefusal(submitter, parseAddress("a@shop.example")), undefined);
  assert.equal(envelopeRefusal(submitter, parseAddress("ceo@corp.example"))?.code, 450);
});

test("submitter: a user without senders sends as nobody, whatever the table says", () => {
  const submitter = submitterOf(user, { table, stale: true });
  assert.equal(envelopeRefusal(submitter, parseAddress("a@shop.example"))?.code, 550);
});

test("submitter: what an unreadable grant may give is deferred, and what it gave is let through", () => {
  const broken = mailGrant("shop", {
    namespaces: { names: ["shop"] },
    suffixes: ["shop..example"],
    senders: { suffixes: ["shop.example", "new.example"] },
  });
  const references = { secrets: new Map(), namespaces };
  const next = compiled([], { grants: [broken], references, previous: table }).table;
  const code = (who: string, from: string) =>
    envelopeRefusal(submitterOf(account(who), { table: next, stale: false }), parseAddress(from))
      ?.code;
  assert.equal(code("shop", "a@shop.example"), undefined);
  assert.equal(code("shop", "a@new.example"), 450);
  assert.equal(code("team", "a@shop.example"), 550);
});
