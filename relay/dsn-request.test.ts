import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isEnvid,
  isNotify,
  isOrcpt,
  isRet,
  isWanted,
  messageDsn,
  messageParameters,
  recipientDsn,
  recipientParameters,
} from "./dsn-request.ts";

const values: readonly [
  what: string,
  is: (text: string | undefined) => boolean,
  good: string[],
  bad: string[],
][] = [
  ["RET", isRet, ["FULL", "hdrs"], ["", "BODY", "FULL,HDRS"]],
  [
    "ENVID",
    isEnvid,
    ["QQ314159", "a+2Bb", "a+20b", "x".repeat(100)],
    ["", "a b", "a=b", "a+2b", "a+0Ab", "é", "x".repeat(101)],
  ],
  [
    "NOTIFY",
    isNotify,
    ["NEVER", "success", "SUCCESS,FAILURE,DELAY", "delay,failure"],
    ["", "NEVER,DELAY", "FAILURE,FAILURE", "ALWAYS", "SUCCESS,"],
  ],
  [
    "ORCPT",
    isOrcpt,
    ["rfc822;Bob@Big.test", "rfc822;a+2Bb@x.test", "utf-8;a@x.test"],
    [
      "",
      "rfc822",
      "rfc822;",
      ";a@x",
      "rfc 822;a",
      "rfc822;a b",
      "rfc822;a+0D+0A@x",
      `rfc822;${"x".repeat(501)}`,
    ],
  ],
];

for (const [what, is, good, bad] of values) {
  test(`dsn request: ${what} is what RFC 3461 says`, () => {
    for (const value of good) assert.equal(is(value), true, value);
    for (const value of [...bad, undefined]) assert.equal(is(value), false, String(value));
  });
}

test("dsn request: what was asked is passed on in the same words", () => {
  const mail = new Map([
    ["RET", "hdrs"],
    ["ENVID", "a+20b+3D"],
  ]);
  assert.deepEqual(messageDsn(mail), { ret: "HDRS", envid: "a b=" });
  assert.equal(messageParameters(messageDsn(mail)), " RET=HDRS ENVID=a+20b+3D");
  const rcpt = new Map([
    ["NOTIFY", "delay,SUCCESS"],
    ["ORCPT", "rfc822;a+2Bb@x.test"],
  ]);
  assert.deepEqual(recipientDsn(rcpt), {
    notify: ["SUCCESS", "DELAY"],
    orcpt: "rfc822;a+b@x.test",
  });
  assert.equal(
    recipientParameters(recipientDsn(rcpt)),
    " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@x.test",
  );
  assert.equal(recipientParameters(recipientDsn(new Map([["NOTIFY", "never"]]))), " NOTIFY=NEVER");
  assert.equal(messageParameters({}) + recipientParameters({}), "");
});

test("dsn request: who says nothing is told of failure only", () => {
  assert.equal(isWanted({}, "FAILURE", "told"), true);
  assert.equal(isWanted({}, "SUCCESS", "untold"), false);
  assert.equal(isWanted({ notify: [] }, "FAILURE", "told"), false);
  assert.equal(isWanted({ notify: ["SUCCESS"] }, "SUCCESS", "untold"), true);
});
