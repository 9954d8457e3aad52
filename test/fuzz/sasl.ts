/** SASL exchanges: never throws, and credentials never carry what could end a line or a log entry. */
import assert from "node:assert/strict";
import { mechanisms } from "../../relay/auth/identity.ts";
import { firstResponse, type SaslStep, startExchange } from "../../relay/auth/sasl.ts";
import type { Target } from "./target.ts";

export const sasl: Target = {
  name: "sasl",
  tokens: [
    "\0joe\0secret",
    "n,a=joe,",
    "\x01auth=Bearer ",
    "secret",
    "\x01\x01",
    "user=joe",
    "=2C",
    "=3D",
    "AGpvZQBzZWNyZXQ=",
    "*",
    "=",
  ],
  seeds: [
    "\0joe\0secret",
    "n,a=joe,\x01auth=Bearer secret\x01\x01",
    "user=joe\x01auth=Bearer secret\x01\x01",
    "joe",
    "AGpvZQBzZWNyZXQ=",
    "=",
    "*",
  ],
  check(input) {
    const lines = [input.toString("base64"), input.toString("latin1"), input.toString()];
    for (const mechanism of mechanisms) {
      for (const line of lines) {
        const { exchange } = startExchange(mechanism);
        checkStep(firstResponse(exchange, line));
        // Whatever the exchange has come to, another line does no harm.
        for (const next of lines) checkStep(exchange.next(next));
      }
    }
  },
};

function checkStep(step: SaslStep): void {
  if (step.kind === "challenge") assert.match(step.text, /^[A-Za-z0-9+/]*=*$/);
  if (step.kind !== "credentials") return;
  const { user, secret } = step.credentials;
  assert.notEqual(secret, "");
  assert.doesNotMatch(user + secret, /[\0\r\n]/);
  assert.ok(Buffer.byteLength(user) <= 255 && Buffer.byteLength(secret) <= 9000);
}
