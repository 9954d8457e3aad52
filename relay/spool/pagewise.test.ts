import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { checksum, type Envelope } from "./records.ts";
import { Spool } from "./spool.ts";

const body = Buffer.from("Subject: x\r\n\r\nhello\r\n");
const envelopeOf = (id: string): Envelope => ({
  id,
  session: "s",
  client: "192.0.2.1",
  trusted: true,
  sender: "me@b.test",
  recipients: [{ address: "a@b.test", key: "outbound", expiresAtMs: 10, warnAtMs: 5 }],
  arrivedAtMs: 1,
  bytes: body.length,
  crc: checksum(body),
  eightBit: false,
  smtputf8: false,
});

async function spoolOf(context: TestContext): Promise<Spool> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-pagewise-"));
  const limits = { bytesMax: 1e8, messagesMax: 1000, freeBytesMin: 0 };
  const spool = await Spool.open({ directory, owner: "relay.test", limits });
  context.after(async () => {
    await spool.close();
    rmSync(directory, { recursive: true });
  });
  return spool;
}

test("spool: what is removed while it is listed hides nothing, as a drain does it", async (context) => {
  const spool = await spoolOf(context);
  assert.equal(spool.isEmpty, true);
  const ids = Array.from({ length: 350 }, (_, number) => `m${String(number).padStart(4, "0")}`);
  await spool.commit(ids.map((id) => ({ kind: "accept", envelope: envelopeOf(id), body })));
  assert.equal(spool.isEmpty, false);
  const listed: string[] = [];
  const list = spool.list((id) => assert.fail(id));
  const give = async (): Promise<void> => {
    for (let next = list.next(); next.done !== true; next = list.next()) {
      const { envelope } = next.value;
      listed.push(envelope.id);
      await spool.commit([{ kind: "remove", envelope }]);
    }
  };
  await Promise.all(Array.from({ length: 8 }, give));
  assert.deepEqual(listed, ids);
  assert.equal(spool.isEmpty, true);
});
