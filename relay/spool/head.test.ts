/** The head of a body, wherever the body is: of a big one no more than that is read. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { checksum, type Envelope } from "./records.ts";
import { Spool } from "./spool.ts";

async function spooled(context: TestContext, bytes: number) {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-head-"));
  const limits = { bytesMax: 1e9, messagesMax: 100, freeBytesMin: 0 };
  const spool = await Spool.open({ directory, owner: "t", limits });
  context.after(async () => {
    await spool.close();
    rmSync(directory, { recursive: true });
  });
  const body = Buffer.from(`Subject: head\r\n\r\n${"x".repeat(bytes)}`);
  const envelope: Envelope = {
    id: "M1",
    session: "s",
    client: "192.0.2.1",
    trusted: true,
    sender: "",
    recipients: [{ address: "a@a.test", key: "suffix:a.test", expiresAtMs: 1, warnAtMs: 1 }],
    arrivedAtMs: 0,
    bytes: body.length,
    crc: checksum(body),
    eightBit: false,
    smtputf8: false,
  };
  await spool.commit([{ kind: "accept", envelope, body }]);
  return { spool, envelope, file: join(directory, "bodies", envelope.id) };
}

for (const [where, bytes] of [
  ["the tree", 100],
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
