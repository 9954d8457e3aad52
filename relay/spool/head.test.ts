/** The head of a body, wherever the body is. */
import assert from "node:assert/strict";
import { rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { message, scratchSpool } from "./message.testkit.ts";
import { Spool } from "./spool.ts";

async function spooled(context: TestContext, bytes: number) {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  context.after(async () => await spool.close());
  const { envelope, body } = message("M1", `Subject: head\r\n\r\n${"x".repeat(bytes)}`);
  await spool.commit([{ kind: "accept", envelope, body }]);
  return { spool, envelope, file: join(options.directory, "bodies", "0000000001") };
}

for (const [where, bytes] of [
  ["the journal", 100],
  ["a file", 300_000],
] as const) {
  test(`spool: the head of a body in ${where} is its first octets`, async (context) => {
    const { spool, envelope } = await spooled(context, bytes);
    assert.equal(String(await spool.head(envelope, 13)), "Subject: head");
    const whole = await spool.head(envelope, 1_000_000);
    assert.equal(whole.length, envelope.bytes);
  });
}

test("spool: a body that is gone or shorter than it was has no head", async (context) => {
  const { spool, envelope, file } = await spooled(context, 300_000);
  truncateSync(file, 1000);
  assert.equal(await spool.head(envelope, 13), "damaged");
  rmSync(file);
  assert.equal(await spool.head(envelope, 13), "damaged");
});
