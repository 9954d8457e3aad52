import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseMail, parseRcpt } from "./command.ts";

const limits = { messageBytesMax: 1000 };
const plain = { smtputf8: false };

function path(argument: string): string | number {
  const command = parseRcpt(`TO:${argument}`, plain);
  return "reply" in command ? command.reply.code : command.path;
}

const PATHS: readonly (readonly [string, string | number])[] = [
  ["<a@x.test>", "a@x.test"],
  ["<postmaster>", "postmaster"],
  ['<"a b"@x.test>', '"a b"@x.test'],
  ['<"a>b"@x.test>', '"a>b"@x.test'],
  ['<"a\\"b"@x.test>', '"a\\"b"@x.test'],
  ['<"a\\\\"@x.test>', '"a\\\\"@x.test'],
  ['<"@"@x.test>', '"@"@x.test'],
  ["<@a.test,@b.test:c@x.test>", "@a.test,@b.test:c@x.test"],
  ["<a@[127.0.0.1]>", "a@[127.0.0.1]"],
  ["<a%b@x.test>", "a%b@x.test"],
  [`<${"a".repeat(64)}@${"x".repeat(189)}>`, `${"a".repeat(64)}@${"x".repeat(189)}`],
  ["<>", 501],
  ["<a@x.test", 501],
  ["a@x.test>", 501],
  ["<a@x.test>x", 501],
  ['<"a@x.test>', 501],
  ['<a"@x.test>', 501],
  ["<a\\>b@x.test>", 501],
  ["<a b@x.test>", 501],
  ["< a@x.test>", 501],
];

for (const [argument, want] of PATHS) {
  test(`parseRcpt: the path of TO:${argument} is ${want}`, () =>
    assert.equal(path(argument), want));
}

test("parseMail: reads path, SIZE, BODY and SMTPUTF8", () => {
  const command = parseMail("From:<jü@x.test> size=7 BODY=8BitMime SMTPUTF8", limits);
  assert.ok(!("reply" in command));
  assert.equal(command.path, "jü@x.test");
  assert.equal(command.size, 7);
  assert.equal(command.eightBit, true);
  assert.equal(command.smtputf8, true);
  assert.deepEqual([...command.parameters.keys()], ["SIZE", "BODY", "SMTPUTF8"]);
});

test("parseMail: a long line of open quotes is refused in no time", () => {
  const begun = performance.now();
  for (const text of ['"a'.repeat(2000), "\\".repeat(4000), `"${"\\a".repeat(2000)}`]) {
    assert.ok("reply" in parseMail(`FROM:<${text}`, limits));
  }
  assert.ok(performance.now() - begun < 100);
});

test("parseRcpt: whatever comes, a path holds no bracket outside quotes and no line end", () => {
  const character = fc.constantFrom("<", ">", '"', "\\", "@", " ", ":", ",", "a", "=", ".");
  const property = fc.property(fc.array(character, { maxLength: 20 }), (parts) => {
    const got = path(`<${parts.join("")}>`);
    if (typeof got === "string") {
      assert.doesNotMatch(got.replace(/"(?:[^"\\]|\\.)*"/g, ""), /[<>\s"\\]/);
    }
  });
  fc.assert(property, { numRuns: 5000 });
});
