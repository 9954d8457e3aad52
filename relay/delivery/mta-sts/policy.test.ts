import assert from "node:assert/strict";
import { test } from "node:test";
import { isListed, parsePolicy, policyId } from "./policy.ts";

const day = 86_400_000;

test("mta-sts: the id is that of the one record of this version", () => {
  assert.equal(policyId(["v=STSv1; id=20160831085700Z;"]), "20160831085700Z");
  assert.equal(policyId(["v=STSv1;id=a"]), "a");
  assert.equal(policyId(["v=STSv1; x=y; id=b ;"]), "b");
  assert.equal(policyId(["some other text", "v=STSv1; id=c"]), "c");
  assert.equal(policyId([]), undefined);
  assert.equal(policyId(["v=STSv1; id=a", "v=STSv1; id=b"]), undefined);
  assert.equal(policyId(["v=STSv2; id=a"]), undefined);
  assert.equal(policyId([" v=STSv1; id=a"]), undefined);
  assert.equal(policyId(["v=STSv1; id=a-b"]), undefined);
  assert.equal(policyId([`v=STSv1; id=${"a".repeat(33)}`]), undefined);
  assert.equal(policyId(["v=STSv1; sid=a"]), undefined);
});

const full =
  "version: STSv1\r\nmode: enforce\r\nmx: Mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n";

test("mta-sts: a policy as RFC 8461 has it, with CRLF or LF, in any order", () => {
  const want = { mode: "enforce", mx: ["mail.example.com", "*.example.net"], maxAgeMs: 7 * day };
  assert.deepEqual(parsePolicy(full), want);
  assert.deepEqual(parsePolicy(full.replaceAll("\r", "")), want);
  assert.deepEqual(parsePolicy(full.trimEnd().split("\r\n").reverse().join("\n")), {
    ...want,
    mx: want.mx.toReversed(),
  });
  assert.deepEqual(parsePolicy(`${full}x-new: thing\nmode: none\nmax_age: 1\n`), want);
});

test("mta-sts: what is no policy", () => {
  for (const [from, to] of [
    ["STSv1", "STSv2"],
    ["enforce", "enforced"],
    ["604800", "a week"],
    ["604800", "99999999999"],
    ["*.example.net", "*"],
    ["*.example.net", "mx.*.example.net"],
    ["*.example.net", ""],
    ["mx: Mail.example.com\r\nmx: *.example.net\r\n", ""],
    ["max_age: 604800", ""],
  ] as const) {
    assert.equal(parsePolicy(full.replace(from, to)), undefined, `${from} ${to}`);
  }
  assert.equal(parsePolicy("<html>version: STSv1</html>"), undefined);
});

test("mta-sts: none needs no mx; ages are kept within a minute and a year", () => {
  const none = parsePolicy("version: STSv1\nmode: none\nmax_age: 0\n");
  assert.deepEqual(none, { mode: "none", mx: [], maxAgeMs: 60_000 });
  assert.equal(parsePolicy(full.replace("604800", "9999999999"))?.maxAgeMs, 31_557_600_000);
});

test("mta-sts: a star is one label, the leftmost", () => {
  const policy = {
    mode: "enforce",
    mx: ["mail.example.com", "*.example.net"],
    maxAgeMs: day,
  } as const;
  for (const host of ["mail.example.com", "MAIL.example.com.", "a.example.net"]) {
    assert.equal(isListed(host, policy), true, host);
  }
  for (const host of [
    "x.mail.example.com",
    "example.com",
    "example.net",
    "a.b.example.net",
    "aexample.net",
    "net",
  ]) {
    assert.equal(isListed(host, policy), false, host);
  }
});
