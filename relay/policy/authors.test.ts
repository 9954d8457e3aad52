import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress } from "../../routing/address.ts";
import { authorsOf } from "./authors.ts";

function authors(header: string): readonly string[] | string {
  const found = authorsOf(Buffer.from(`${header}\r\n\r\nFrom: body@x.example\r\n`));
  return found.ok ? found.addresses.map(formatAddress) : found.why;
}

const clear: readonly (readonly [header: string, ...addresses: string[]])[] = [
  ["Subject: none"],
  ["From: a@x.example", "a@x.example"],
  ["FROM:a@X.Example", "a@x.example"],
  ["From: Ann <a@x.example>", "a@x.example"],
  ['From: "Ann, the first (really) <b@y.example>" <a@x.example>', "a@x.example"],
  ["From: =?utf-8?q?J=C3=BCrgen?= <a@x.example>", "a@x.example"],
  ["From: Jürgen <a@x.example>", "a@x.example"],
  [
    "From: a@x.example, B <b@y.example>\r\nSender: c@z.example",
    "a@x.example",
    "b@y.example",
    "c@z.example",
  ],
  ["From: (one (two) three) a@x.example (b@y.example)", "a@x.example"],
  ["From: Team: a@x.example, <b@y.example>;", "a@x.example", "b@y.example"],
  ["From:\r\n Ann\r\n\t<a@x.example>", "a@x.example"],
  ["From : a@x.example", "a@x.example"],
  ["From: a@[192.0.2.1]", "a@[192.0.2.1]"],
];

for (const [header, ...addresses] of clear) {
  test(`authors: ${JSON.stringify(header)}`, () => assert.deepEqual(authors(header), addresses));
}

/** What some mail programs show as one and some as another. */
const unclear: readonly string[] = [
  "From: a@x.example\r\nFrom: b@y.example",
  "Sender: a@x.example\r\nSender: b@y.example",
  "From: a@x.example <b@y.example>",
  "From: <a@x.example> <b@y.example>",
  "From: <a@x.example> b@y.example",
  "From: <a@x.example><b@y.example>",
  "From: <<a@x.example>>",
  "From: a@x.example b@y.example",
  "From: a@x.example@y.example",
  "From: <@y.example:a@x.example>",
  "From: Ann <a@x.example",
  'From: "Ann <a@x.example>',
  "From: (Ann <a@x.example>",
  "From: Ann) <a@x.example>",
  "From: ",
  "From: Ann",
  "From: Team: ;",
  "From: Team: a@x.example",
  "From: a@x.example;",
  "From: A: B: a@x.example;;",
  "From: a\\@y.example@x.example",
  "From: a@x.example\0",
  "From: =?utf-8?Q?ceo=40corp.example=00?=@x.example",
  'From: "ceo@corp.example>"@x.example',
  "From: ceo@corp.example .x.example",
  "From: ceo@corp.example(x).x.example",
  "From: ceo corp.example a@x.example",
  "From: <a b@x.example>",
  "From\r\n : ceo@corp.example",
  "Subject: x\r\nno field\r\nFrom: a@x.example",
];

for (const header of unclear) {
  test(`authors: ${JSON.stringify(header)} is not clear`, () => {
    assert.equal(typeof authors(header), "string");
  });
}
