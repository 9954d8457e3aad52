/** What the kinds of listeners do, and on which addresses they are there. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import { hostWithoutIpv6 } from "../../kube/dual-stack.ts";
import { startBench, TestClient } from "./dialog.testkit.ts";

const hasIpv6 = networkInterfaces()["lo"]?.some(({ address }) => address === "::1") === true;
const skip = hasIpv6 ? false : "this machine has no IPv6";

test("listener: on :: it is there for IPv4 and IPv6, and IPv4 addresses are unmapped", {
  skip,
}, async () => {
  const { listener, recorder, port } = await startBench({ host: "::" });
  try {
    for (const host of ["127.0.0.1", "::1"]) {
      const client = new TestClient(port, connect(port, host));
      assert.match(await client.reply(), /^220/);
      client.socket.destroy();
      assert.equal(recorder.clients.at(-1)?.address, host);
      assert.equal(recorder.clients.at(-1)?.localAddress, host);
    }
  } finally {
    await listener.stop({ graceMs: 0 });
  }
});

test("listener: only :: falls back to IPv4, and only where there is no IPv6", () => {
  assert.equal(hostWithoutIpv6("::", { code: "EAFNOSUPPORT" }), "0.0.0.0");
  assert.equal(hostWithoutIpv6("::", { code: "EADDRNOTAVAIL" }), "0.0.0.0");
  assert.equal(hostWithoutIpv6("::", { code: "EADDRINUSE" }), undefined);
  assert.equal(hostWithoutIpv6("::1", { code: "EADDRNOTAVAIL" }), undefined);
  assert.equal(hostWithoutIpv6("192.0.2.1", { code: "EADDRNOTAVAIL" }), undefined);
});

test("submissions: TLS from the first byte, and no MAIL without authentication", async () => {
  const { listener, recorder, port } = await startBench({
    implicitTls: true,
    authentication: "Required",
  });
  try {
    const client = new TestClient(port, tlsConnect({ port, rejectUnauthorized: false }));
    assert.match(await client.reply(), /^220/);
    client.send("EHLO client.test\r\nMAIL FROM:<a@x.test>\r\n");
    assert.match(await client.reply(), /^250/);
    assert.equal(await client.reply(), "530 5.7.0 Authentication required");
    assert.deepEqual(recorder.messages, []);
    client.socket.destroy();
  } finally {
    await listener.stop({ graceMs: 0 });
  }
});

test("submissions: a handshake that drips is ended in time", async () => {
  const { listener, recorder, port } = await startBench({
    implicitTls: true,
    limits: { idleMsMax: 150 },
  });
  const socket = connect(port, "127.0.0.1").on("error", () => undefined);
  const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
  socket.write(hello);
  const dripping = setInterval(() => socket.write("x"), 10);
  try {
    await new Promise((resolve) => socket.once("close", resolve));
    while (listener.pending > 0) await wait(5);
    assert.deepEqual(recorder.clients, []);
  } finally {
    clearInterval(dripping);
    await listener.stop({ graceMs: 0 });
  }
});

test("createListener: what needs certificates is refused without them", async () => {
  await assert.rejects(startBench({ plain: true, implicitTls: true }), /need certificates/);
  await assert.rejects(startBench({ plain: true, authentication: "Required" }), /need certifi/);
});
