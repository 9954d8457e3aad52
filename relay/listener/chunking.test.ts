/** BDAT over real sockets: what a client that leaves, and a listener that stops, do to a message between chunks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { startBench, TestClient } from "./dialog.testkit.ts";

const begin = "EHLO x\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n";

/** A session whose message lacks its last chunk. */
async function halfway(port: number): Promise<TestClient> {
  const client = new TestClient(port);
  client.send(`${begin}BDAT 8\r\n12345678`);
  for (const code of ["220", "250", "250", "250"]) {
    assert.equal((await client.reply()).slice(0, 3), code);
  }
  assert.equal(await client.reply(), "250 2.0.0 8 octets received");
  return client;
}

async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !isTrue(); i += 1) await wait(5);
  assert.ok(isTrue());
}

test("BDAT: who leaves between chunks or within one gives the memory back, and the transaction ends", async () => {
  const { listener, recorder, port } = await startBench({ limits: { receivingBytesMax: 10 } });
  try {
    for (const [i, last] of ["", "BDAT 2\r\n9"].entries()) {
      const client = await halfway(port);
      client.send(last);
      await wait(5);
      client.socket.resetAndDestroy();
      await until(() => listener.connections === 0);
      assert.equal(recorder.aborted, i + 1);
    }
    const client = await halfway(port);
    client.send("BDAT 2 LAST\r\n90");
    assert.equal(await client.reply(), "250 2.0.0 Queued");
    assert.equal(recorder.messages.at(-1)?.text, "1234567890");
    client.socket.destroy();
  } finally {
    await listener.stop({ graceMs: 0 });
  }
});

test("BDAT: a listener that stops lets a message between chunks come to its end, then says 421", async () => {
  for (const [last, answer] of [
    ["BDAT 2 LAST\r\n90", "250 2.0.0 Queued"],
    ["RSET\r\n", "250 2.0.0 Reset"],
    ["DATA\r\nx", "503 5.5.1 BDAT has begun: send BDAT or RSET"],
  ] as const) {
    const { listener, port } = await startBench();
    const client = await halfway(port);
    const stopped = listener.stop({ graceMs: 5000 });
    await wait(20);
    assert.equal(client.closed, false);
    client.send(last);
    assert.equal(await client.reply(), answer);
    // A DATA with something behind it has ended the session already.
    if (!answer.startsWith("503")) assert.match(await client.reply(), /^421 4\.3\.2 /);
    await client.end();
    await stopped;
  }
});
