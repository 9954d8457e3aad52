import assert from "node:assert/strict";
import { test } from "node:test";
import { type Mechanism, mechanisms } from "./identity.ts";
import { failureChallenge, firstResponse, type SaslStep, startExchange } from "./sasl.ts";

const b64 = (text: string): string => Buffer.from(text).toString("base64");

/** Each line to one exchange; the last step. */
function converse(mechanism: Mechanism, ...lines: readonly string[]): SaslStep | undefined {
  const { exchange } = startExchange(mechanism);
  return lines.map((line) => exchange.next(line)).at(-1);
}

const good: readonly { name: string; step: SaslStep | undefined; user: string; secret: string }[] =
  [
    { name: "PLAIN", step: converse("PLAIN", b64("\0joe\0secret")), user: "joe", secret: "secret" },
    {
      name: "PLAIN for oneself by name",
      step: converse("PLAIN", b64("joe\0joe\0secret")),
      user: "joe",
      secret: "secret",
    },
    {
      name: "PLAIN in UTF-8",
      step: converse("PLAIN", b64("\0jürgen\0gehäim")),
      user: "jürgen",
      secret: "gehäim",
    },
    {
      name: "PLAIN without a user, as tokens come",
      step: converse("PLAIN", b64("\0\0a.b.c")),
      user: "",
      secret: "a.b.c",
    },
    {
      name: "LOGIN",
      step: converse("LOGIN", b64("joe"), b64("secret")),
      user: "joe",
      secret: "secret",
    },
    {
      name: "OAUTHBEARER (RFC 7628 section 4.1)",
      step: converse(
        "OAUTHBEARER",
        b64(
          "n,a=user@example.com,\x01host=server.example.com\x01port=587\x01auth=Bearer vF9dft4q=\x01\x01",
        ),
      ),
      user: "user@example.com",
      secret: "vF9dft4q=",
    },
    {
      name: "OAUTHBEARER without a user",
      step: converse("OAUTHBEARER", b64("n,,\x01auth=Bearer a.b.c\x01\x01")),
      user: "",
      secret: "a.b.c",
    },
    {
      name: "XOAUTH2",
      step: converse("XOAUTH2", b64("user=joe@a.test\x01auth=Bearer a.b.c\x01\x01")),
      user: "joe@a.test",
      secret: "a.b.c",
    },
  ];

for (const { name, step, user, secret } of good) {
  test(`sasl: ${name} is understood`, () => {
    assert.equal(step?.kind, "credentials");
    assert.deepEqual([step.credentials.user, step.credentials.secret], [user, secret]);
  });
}

const bad: readonly [name: string, mechanism: Mechanism, text: string][] = [
  ["no base64", "PLAIN", "not base64!"],
  ["base64 with a hole", "PLAIN", "AGpv ZQ=="],
  ["base64 cut short", "PLAIN", b64("\0joe\0secret").slice(0, -1)],
  ["one NUL", "PLAIN", b64("joe\0secret")],
  ["three NULs", "PLAIN", b64("\0joe\0sec\0ret")],
  ["to act for another", "PLAIN", b64("admin\0joe\0secret")],
  ["an empty password", "PLAIN", b64("\0joe\0")],
  ["no UTF-8", "PLAIN", Buffer.from([0, 0xff, 0, 0x61]).toString("base64")],
  ["a line break in the name", "PLAIN", b64("\0jo\r\ne\0secret")],
  ["a name of 256 octets", "PLAIN", b64(`\0${"a".repeat(256)}\0secret`)],
  ["a password of 9001 octets", "PLAIN", b64(`\0joe\0${"a".repeat(9001)}`)],
  ["no GS2 header", "OAUTHBEARER", b64("auth=Bearer a.b.c\x01\x01")],
  ["channel binding", "OAUTHBEARER", b64("p=tls-unique,,\x01auth=Bearer a.b.c\x01\x01")],
  ["no end", "OAUTHBEARER", b64("n,,\x01auth=Bearer a.b.c\x01")],
  ["two tokens", "OAUTHBEARER", b64("n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01")],
  ["no token", "XOAUTH2", b64("user=joe\x01auth=Bearer \x01\x01")],
  ["another scheme", "XOAUTH2", b64("user=joe\x01auth=Basic abc\x01\x01")],
];

for (const [name, mechanism, text] of bad) {
  test(`sasl: ${name} is malformed (${mechanism})`, () => {
    assert.deepEqual(converse(mechanism, text), { kind: "malformed" });
  });
}

test("sasl: LOGIN asks twice, and a star ends every exchange", () => {
  assert.equal(startExchange("LOGIN").firstChallenge, b64("Username:"));
  assert.deepEqual(converse("LOGIN", b64("joe")), { kind: "challenge", text: b64("Password:") });
  for (const mechanism of mechanisms)
    assert.deepEqual(converse(mechanism, "*"), { kind: "cancelled" });
});

test("sasl: an equals sign is an empty initial response", () => {
  const { exchange } = startExchange("LOGIN");
  assert.deepEqual(firstResponse(exchange, "="), { kind: "challenge", text: b64("Password:") });
});

test("sasl: only OAuth mechanisms explain a failure", () => {
  assert.equal(failureChallenge("PLAIN"), undefined);
  const text = Buffer.from(failureChallenge("OAUTHBEARER") ?? "", "base64").toString();
  assert.equal((JSON.parse(text) as { status: string }).status, "invalid_token");
});
