import assert from "node:assert/strict";
import { test } from "node:test";
import { address, compiled, hosts, mailRoute, matched, way } from "./compile.testkit.ts";
import { explain } from "./match.ts";

const golden = compiled([
  mailRoute("mail/host1", { suffixes: ["ms.example"], target: hosts("host1.example") }),
  mailRoute("mail/inbound", {
    domains: ["ms.example"],
    suffixes: ["x.ms.example"],
    target: { inbound: {} },
  }),
]).table;

test("match: the golden table", () => {
  const cases = [
    ["User@ms.example", "mail/inbound by domain:ms.example"],
    ["a@sales.ms.example", "mail/host1 by suffix:ms.example"],
    ["a@x.ms.example", "mail/inbound by suffix:x.ms.example"],
    ["a@abc.x.ms.example", "mail/inbound by suffix:x.ms.example"],
    ["a@pms.example", "outbound"],
    ["a@example", "outbound"],
    ["a@MS.EXAMPLE", "mail/inbound by domain:ms.example"],
    ["a@[192.0.2.1]", "unlisted-literal"],
  ];
  for (const [recipient = "", expected] of cases) {
    assert.equal(way(golden, recipient), expected, recipient);
  }
});

test("match: an address beats a domain, a domain beats a suffix, a suffix beats the dot", () => {
  const { table } = compiled([
    mailRoute("mail/dot", { suffixes: ["."] }),
    mailRoute("mail/suffix", { suffixes: ["corp.example"] }),
    mailRoute("mail/domain", { domains: ["corp.example", "[192.0.2.7]"] }),
    mailRoute("mail/address", { addresses: ["ceo@corp.example", "a+b@corp.example"] }),
  ]);
  const cases = [
    ["ceo@corp.example", "mail/address by address:ceo@corp.example"],
    ["CEO+news@corp.example", "mail/address by address:ceo@corp.example"],
    ['"ceo"@corp.example', "mail/address by address:ceo@corp.example"],
    ["a+b@corp.example", "mail/address by address:a+b@corp.example"],
    ["a@corp.example", "mail/domain by domain:corp.example"],
    ["+ceo@corp.example", "mail/domain by domain:corp.example"],
    ["x@corp.example", "mail/domain by domain:corp.example"],
    ["ceo@hq.corp.example", "mail/suffix by suffix:corp.example"],
    ["x@notcorp.example", "mail/dot by suffix:."],
    ["x@[192.0.2.7]", "mail/domain by domain:[192.0.2.7]"],
    ["x@[IPv6:::ffff:192.0.2.7]", "mail/domain by domain:[192.0.2.7]"],
    ["x@[192.0.2.8]", "unlisted-literal"],
  ];
  for (const [recipient = "", expected] of cases) {
    assert.equal(way(table, recipient), expected, recipient);
  }
});

const bySender = compiled([
  mailRoute("mail/any", { suffixes: ["corp.example"] }),
  mailRoute("mail/mx", {
    domains: ["corp.example"],
    senders: { addresses: ["boss+x@a.example"] },
  }),
  mailRoute("mail/wide", { domains: ["corp.example"], senders: { suffixes: ["example"] } }),
  mailRoute("mail/long", { domains: ["corp.example"], senders: { suffixes: ["a.example"] } }),
  mailRoute("mail/exact", { domains: ["corp.example"], senders: { domains: ["a.example"] } }),
  mailRoute("mail/all", { domains: ["other.example"], senders: { suffixes: ["."] } }),
]).table;

test("match: under one recipient key the most specific sender wins", () => {
  const cases: [string, string | undefined, string][] = [
    ["u@corp.example", "boss+x@a.example", "mail/mx by domain:corp.example"],
    ["u@corp.example", "BOSS+X@a.example", "mail/mx by domain:corp.example"],
    ["u@corp.example", "boss@a.example", "mail/exact by domain:corp.example"],
    ["u@corp.example", "boss+x+y@a.example", "mail/exact by domain:corp.example"],
    ["u@corp.example", "u@b.a.example", "mail/long by domain:corp.example"],
    ["u@corp.example", "u@b.example", "mail/wide by domain:corp.example"],
    ["u@corp.example", "u@b.test", "mail/any by suffix:corp.example"],
    ["u@corp.example", undefined, "mail/any by suffix:corp.example"],
    ["u@other.example", "u@b.test", "mail/all by domain:other.example"],
    ["u@other.example", "u@[192.0.2.1]", "outbound"],
    ["u@other.example", undefined, "outbound"],
  ];
  for (const [recipient, sender, expected] of cases) {
    assert.equal(way(bySender, recipient, sender), expected, `${recipient} from ${sender}`);
  }
});

test("match: names the sender key that decided", () => {
  const found = matched(bySender, "u@corp.example", "u@b.a.example");
  assert.equal(found.kind === "route" ? found.senderKey : "", "suffix:a.example");
});

test("match: names like Object properties have no routes", () => {
  for (const name of ["constructor", "__proto__.example", "toString", "hasOwnProperty.example"]) {
    const recipient = { local: "u", domain: name, isLiteral: false } as never;
    assert.equal(way(golden, "u@constructor"), "outbound");
    assert.equal(matchedRaw(recipient), "outbound");
  }
});

function matchedRaw(recipient: never): string {
  return explain(golden, { recipient, sender: undefined }).some(({ outcome }) => outcome === "wins")
    ? "route"
    : "outbound";
}

test("explain: shows the ladder, what won and what lost", () => {
  const steps = explain(bySender, {
    recipient: address("u@corp.example"),
    sender: address("u@b.a.example"),
  });
  assert.deepEqual(
    steps.map(({ key, senderKey, route, outcome }) => [key, senderKey, route?.id, outcome]),
    [
      ["address:u@corp.example", undefined, undefined, "no entry"],
      ["domain:corp.example", "suffix:a.example", "mail/long", "wins"],
      ["domain:corp.example", "suffix:example", "mail/wide", "loses"],
      ["domain:corp.example", "address:boss+x@a.example", "mail/mx", "not applicable"],
      ["domain:corp.example", "domain:a.example", "mail/exact", "not applicable"],
      ["suffix:corp.example", undefined, "mail/any", "loses"],
      ["suffix:example", undefined, undefined, "no entry"],
      ["suffix:.", undefined, undefined, "no entry"],
    ],
  );
});
