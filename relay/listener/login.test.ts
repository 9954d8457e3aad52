/** A connection that ends while somebody is asked whether its login still holds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn, setTimeout as wait } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import { startBench, TestClient } from "./dialog.testkit.ts";

test("login: a connection that is gone before the answer begins no transaction", async () => {
  const accounts = { later: "secret" };
  const { listener, recorder, port } = await startBench({ implicitTls: true, accounts });
  const client = new TestClient(port, tlsConnect({ port, rejectUnauthorized: false }));
  assert.match(await client.reply(), /^220/);
  const plain = Buffer.from("\0later\0secret").toString("base64");
  client.send(`EHLO client.test\r\nAUTH PLAIN ${plain}\r\n`);
  assert.match(await client.reply(), /^250/);
  assert.match(await client.reply(), /^235/);
  client.send("MAIL FROM:<a@x.test>\r\n");
  while (recorder.held === 0) await wait(1);
  await listener.stop({ graceMs: 0 });
  recorder.release();
  await turn();
  assert.deepEqual([recorder.begun, recorder.aborted], [0, 0]);
  client.socket.destroy();
});
