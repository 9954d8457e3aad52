import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseExchangers, type MxAnswer } from "./mx.ts";

const records = (...list: readonly [number, string][]): MxAnswer => ({
  kind: "records",
  records: list.map(([preference, exchange]) => ({ preference, exchange })),
});

const cases: readonly { title: string; answer: MxAnswer; want: string }[] = [
  {
    title: "hosts with their preference",
    answer: records([20, "b.test"], [10, "A.test."]),
    want: "20 b.test, 10 a.test",
  },
  {
    title: "no MX record: the domain itself",
    answer: { kind: "none" },
    want: "0 to.test implicit",
  },
  { title: "null MX", answer: records([0, ""]), want: "failed 556 5.1.10" },
  {
    title: "null MX as c-ares or others write it",
    answer: records([0, "."]),
    want: "failed 556 5.1.10",
  },
  {
    title: "a null MX among others is no MX host",
    answer: records([0, "."], [5, "a.test"]),
    want: "5 a.test",
  },
  { title: "no such domain", answer: { kind: "nxdomain" }, want: "failed 550 5.1.2" },
  {
    title: "no answer",
    answer: { kind: "unanswered", reason: "ETIMEOUT" },
    want: "deferred 451 4.4.3",
  },
  {
    title: "ourselves drop us and all that are farther",
    answer: records([10, "a.test"], [20, "relay.test"], [20, "b.test"], [30, "c.test"]),
    want: "10 a.test",
  },
  {
    title: "ourselves in front",
    answer: records([10, "RELAY.test."], [20, "b.test"]),
    want: "failed 554 5.4.6",
  },
  {
    title: "addresses are no names",
    answer: records([10, "192.0.2.1"], [20, "b.test"]),
    want: "20 b.test",
  },
  { title: "nothing but addresses", answer: records([10, "192.0.2.1"]), want: "failed 550 5.4.4" },
];

for (const { title, answer, want } of cases) {
  test(`mx: ${title}`, () => {
    const chosen = chooseExchangers(answer, {
      domain: "to.test",
      port: 25,
      ownNames: ["relay.test"],
    });
    const got =
      chosen.kind === "trouble"
        ? `${chosen.trouble.kind} ${chosen.trouble.reply.code} ${chosen.trouble.reply.status}`
        : chosen.hosts.map(({ host, priority }) => `${priority} ${host}`).join(", ") +
          (chosen.implicit ? " implicit" : "");
    assert.equal(got, want);
  });
}

test("mx: a domain without MX record that is ourselves is a loop", () => {
  const context = { domain: "relay.test", port: 25, ownNames: ["relay.test"] };
  const chosen = chooseExchangers({ kind: "none" }, context);
  assert.equal(chosen.kind === "trouble" && chosen.trouble.reply.status, "5.4.6");
});
