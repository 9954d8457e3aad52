/** What a dialog cannot say: several connections, TLS, stopping, lost clients, writes on the wire. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import { type Bench, certificate, startBench, TestClient } from "./dialog.testkit.ts";

const ENVELOPE = "MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n";

async function withBench(
  options: Parameters<typeof startBench>[0],
  run: (bench: Bench) => Promise<void>,
): Promise<void> {
  const bench = await startBench(options);
  try {
    await run(bench);
  } finally {
    bench.recorder.release();
    await bench.listener.stop({ graceMs: 0 });
  }
}

/** A client that has said EHLO. */
async function greeted(port: number): Promise<TestClient> {
  const client = new TestClient(port);
  assert.match(await client.reply(), /^220 /);
  client.send("EHLO client.test\r\n");
  assert.match(await client.reply(), /^250-mx.test\n/);
  return client;
}

async function replies(client: TestClient, count: number): Promise<string[]> {
  const all: string[] = [];
  for (let i = 0; i < count; i += 1) all.push((await client.reply()).slice(0, 3));
  return all;
}

async function until(true_: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !true_(); i += 1) await wait(5);
  assert.ok(true_());
}

const NOT_THE_END = [
  "\n.\n",
  "\r\n.\n",
  "\n.\r\n",
  "\r.\r",
  "\r\n.\r",
  "\r.\r\n",
  "\r\n.\0\r\n",
  "\n\n.\n\n",
];

for (const fake of NOT_THE_END) {
  test(`listener: ${JSON.stringify(fake)} does not end DATA at any split point`, () =>
    withBench({}, async ({ port, recorder }) => {
      const client = await greeted(port);
      const text = `x${fake}MAIL FROM:<smuggled@x.test>\r\n.\r\n`;
      for (let cut = 1; cut < fake.length + 2; cut += 1) {
        client.send(ENVELOPE);
        assert.deepEqual(await replies(client, 3), ["250", "250", "354"]);
        client.send(text.slice(0, cut));
        await wait(2);
        client.send(text.slice(cut));
        assert.equal(await client.reply(), "250 2.0.0 Queued");
        assert.match(recorder.messages.at(-1)?.text ?? "", /smuggled@x.test>\r\n$/);
      }
      client.send("QUIT\r\n");
      assert.match(await client.reply(), /^221/);
    }));
}

test("listener: a client that sends single bytes gets the same answers", () =>
  withBench({}, async ({ port, recorder }) => {
    const client = new TestClient(port);
    await client.reply();
    client.socket.setNoDelay(true);
    const session = `EHLO slow.test\r\n${ENVELOPE}one\r\n..two\r\n.\r\nQUIT\r\n`;
    for (const byte of session) {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(await replies(client, 6), ["250", "250", "250", "354", "250", "221"]);
    assert.equal(recorder.messages[0]?.text, "one\r\n.two\r\n");
  }));

test("listener: the replies to one segment go out in one write", () =>
  withBench({}, async ({ port }) => {
    const client = await greeted(port);
    const segments: string[] = [];
    client.socket.on("data", (data: Buffer) => segments.push(data.toString()));
    client.send(`NOOP\r\n${ENVELOPE}`);
    await until(() => segments.join("").includes("354"));
    assert.equal(segments.length, 1);
    client.send(`x\r\n.\r\n${ENVELOPE}`);
    await until(() => segments.join("").split("354").length === 3);
    assert.equal(segments.length, 2);
    client.socket.destroy();
  }));

test("listener: the reception learns who the client is and what it said", () =>
  withBench({}, async ({ port, recorder }) => {
    const client = await greeted(port);
    client.send(
      'MAIL FROM:<"a b"@x.test> SIZE=9 BODY=8BITMIME\r\nRCPT TO:<@hop:b@x.test>\r\nDATA\r\n',
    );
    await replies(client, 3);
    client.send("a\n\0b\rc\r\n.\r\n");
    await client.reply();
    const [got] = recorder.messages;
    assert.ok(got);
    assert.match(got.client.sessionId, /^[0-9a-z]{10}$/);
    assert.equal(got.client.address, "127.0.0.1");
    assert.equal(got.client.listener, "test");
    assert.equal(got.client.localPort, port);
    assert.equal(got.client.port, client.socket.localPort);
    assert.deepEqual(got.greeting, { helo: "client.test", esmtp: true });
    assert.equal(got.mail.path, '"a b"@x.test');
    assert.equal(got.mail.size, 9);
    assert.equal(got.mail.eightBit, true);
    assert.deepEqual(
      got.rcpts.map(({ path }) => path),
      ["@hop:b@x.test"],
    );
    assert.deepEqual(got.body.faults, { bareCr: 1, bareLf: 1, nul: 1, longestLine: 4 });
  }));

test("listener: no command runs while a message is pending, and its answer comes first", () =>
  withBench({}, async ({ port, recorder }) => {
    const client = await greeted(port);
    client.send("MAIL FROM:<a@x.test>\r\nRCPT TO:<later@x.test>\r\nDATA\r\n");
    await replies(client, 3);
    client.send("one\r\n.\r\nNOOP\r\nMAIL FROM:<550-5.1.0@x.test>\r\n");
    await until(() => recorder.held === 1);
    await wait(30);
    recorder.release();
    assert.deepEqual(await replies(client, 3), ["250", "250", "550"]);
  }));

test("listener: idle time does not count while an answer is owed", () =>
  withBench({ limits: { idleMsMax: 50 } }, async ({ port, recorder }) => {
    const client = await greeted(port);
    client.send("MAIL FROM:<a@x.test>\r\nRCPT TO:<later@x.test>\r\nDATA\r\n");
    await replies(client, 3);
    client.send("one\r\n.\r\n");
    await wait(150);
    recorder.release();
    assert.match(await client.reply(), /^250/);
    assert.match(await client.reply(), /^421 4.4.2/);
  }));

test("listener: a client that vanishes in a transaction or in DATA has it aborted, once", () =>
  withBench({}, async ({ port, recorder, listener }) => {
    for (const [i, said] of ["MAIL FROM:<a@x.test>\r\n", `${ENVELOPE}half`].entries()) {
      const client = await greeted(port);
      client.send(said);
      await client.reply();
      client.socket.resetAndDestroy();
      await until(() => recorder.aborted === i + 1 && listener.connections === 0);
    }
    await until(() => recorder.log.filter((line) => line === "closed 0").length === 2);
    assert.equal(recorder.log.filter((line) => line === "reception closed").length, 2);
    assert.deepEqual(recorder.failures, []);
  }));

test("listener: a client that vanishes while its message is pending does no harm", () =>
  withBench({ limits: { receivingBytesMax: 10 } }, async ({ port, recorder, listener }) => {
    const client = await greeted(port);
    client.send("MAIL FROM:<a@x.test>\r\nRCPT TO:<later@x.test>\r\nDATA\r\n");
    await replies(client, 3);
    client.send("12345678\r\n.\r\n");
    await until(() => recorder.held === 1);
    client.socket.resetAndDestroy();
    await until(() => listener.connections === 0);
    const second = await greeted(port);
    second.send(`${ENVELOPE}`);
    await replies(second, 3);
    second.send("1\r\n.\r\n");
    assert.match(await second.reply(), /^452 4.3.1/, "the bytes are still in memory");
    recorder.release();
    await wait(5);
    second.send(ENVELOPE);
    await replies(second, 3);
    second.send("1\r\n.\r\n");
    assert.match(await second.reply(), /^250/);
    assert.equal(recorder.aborted, 1);
  }));

test("listener: a client that closes its side still gets the replies owed", () =>
  withBench({}, async ({ port, listener }) => {
    const client = await greeted(port);
    client.socket.end("MAIL FROM:<a@x.test>\r\nRCPT TO:<slow@x.test>\r\nNOOP\r\nNOOP");
    assert.deepEqual(await replies(client, 4), ["250", "250", "250", ""]);
    await until(() => listener.connections === 0);
  }));

test("listener: connections at the limit per client are served, one more is 421", () =>
  withBench({ limits: { connectionsPerClientMax: 2 } }, async ({ port, recorder, listener }) => {
    const first = await greeted(port);
    await greeted(port);
    const third = new TestClient(port);
    assert.match(await third.reply(), /^421 4.7.0/);
    await third.end();
    assert.ok(recorder.log.includes("limit connectionsPerClientMax"));
    first.send("QUIT\r\n");
    await first.end();
    await until(() => listener.connections === 1);
    await greeted(port);
  }));

test("listener: connections at the limit in total are served, one more is 421", () =>
  withBench({ limits: { connectionsMax: 1 } }, async ({ port, recorder }) => {
    await greeted(port);
    const second = new TestClient(port);
    assert.match(await second.reply(), /^421 4.7.0/);
    await second.end();
    assert.ok(recorder.log.includes("limit connectionsMax"));
    assert.equal(recorder.log.filter((line) => line === "opened").length, 1);
  }));

test("listener: a client that the reception turns away gets its words and no greeting", () =>
  withBench({}, async ({ port, recorder }) => {
    recorder.connectReply = { code: 554, status: "5.7.1", text: "denied network" };
    const client = new TestClient(port);
    assert.equal(await client.reply(), "554 5.7.1 denied network");
    assert.equal(await client.end(), "");
    assert.deepEqual(recorder.log, ["turnedAway"]);
  }));

test("listener: who talks before a delayed greeting is refused", () =>
  withBench({ greetingDelayMs: 40 }, async ({ port, recorder }) => {
    const patient = greeted(port);
    const early = new TestClient(port);
    early.send("EHLO early.test\r\nMAIL FROM:<a@x.test>\r\n");
    assert.match(await early.reply(), /^554 5.5.1/);
    assert.equal(await early.end(), "");
    assert.ok(recorder.log.includes("refused early"));
    (await patient).socket.destroy();
  }));

test("listener: a client that never reads its replies is cut off and holds no memory", () =>
  withBench(
    { limits: { commandsPerSessionMax: 1e9, refusedRecipientsMax: 1e9, idleMsMax: 200 } },
    async ({ port, listener, recorder }) => {
      const socket = connect(port, "127.0.0.1").on("error", () => undefined);
      socket.pause();
      await until(() => recorder.log.includes("opened"));
      socket.write("EHLO client.test\r\nMAIL FROM:<a@x.test>\r\n");
      // Of the commands that are answered at once however many there are.
      const recipients = "RCPT TO:<550-5.1.1@x.test>\r\n".repeat(10_000);
      const timer = setInterval(() => {
        if (!socket.writableNeedDrain && !socket.destroyed) socket.write(recipients);
      }, 1);
      await until(() => recorder.log.includes("limit idleMsMax"));
      clearInterval(timer);
      socket.destroy();
      await until(() => listener.connections === 0);
    },
  ));

test("TLS: a swapped certificate counts from the next handshake on", async () => {
  let current = certificate("mx");
  await withBench({ tls: { context: () => current } }, async ({ port, recorder }) => {
    for (const name of ["mx", "swapped"] as const) {
      current = certificate(name);
      const client = await greeted(port);
      client.send("STARTTLS\r\n");
      await client.reply();
      await client.startTls();
      assert.ok("getPeerCertificate" in client.socket);
      const peer = (client.socket as import("node:tls").TLSSocket).getPeerCertificate();
      assert.equal(peer.subject.CN, `${name}.test`);
      client.send(`EHLO client.test\r\n${ENVELOPE}`);
      await replies(client, 4);
      client.send(".\r\n");
      await client.reply();
      assert.match(recorder.messages.at(-1)?.greeting.tls?.version ?? "", /^TLSv1\.[23]$/);
    }
  });
});

test("TLS: the name that the client asks for reaches the certificates", async () => {
  const asked: (string | undefined)[] = [];
  const context = (name?: string) => {
    asked.push(name);
    return certificate(name === "swapped.test" ? "swapped" : "mx");
  };
  await withBench({ tls: { context }, implicitTls: true }, async ({ port }) => {
    const options = { port, host: "127.0.0.1", rejectUnauthorized: false };
    const socket = tlsConnect({ ...options, servername: "swapped.test" });
    const client = new TestClient(port, socket);
    assert.match(await client.reply(), /^220 mx.test/);
    assert.equal(socket.getPeerCertificate().subject.CN, "swapped.test");
    client.send("EHLO client.test\r\n");
    assert.doesNotMatch(await client.reply(), /STARTTLS/);
    assert.ok(asked.includes("swapped.test"));
    client.send("QUIT\r\n");
    assert.match(await client.reply(), /^221/);
  });
});

test("TLS: without a usable certificate STARTTLS is 454 and the session lives on", async () => {
  const context = () => {
    throw new Error("no certificate yet");
  };
  await withBench({ tls: { context } }, async ({ port, recorder }) => {
    const client = await greeted(port);
    client.send("STARTTLS\r\n");
    assert.match(await client.reply(), /^454 4.7.0/);
    client.send("NOOP\r\n");
    assert.match(await client.reply(), /^250/);
    assert.equal(recorder.failures.length, 1);
  });
});

test("TLS: garbage instead of a handshake, and silence, end the connection", () =>
  withBench({ limits: { idleMsMax: 100 } }, async ({ port, listener }) => {
    const garbage = await greeted(port);
    garbage.send("STARTTLS\r\n");
    await garbage.reply();
    garbage.send("MAIL FROM:<a@x.test>\r\n");
    const silent = await greeted(port);
    silent.send("STARTTLS\r\n");
    await silent.reply();
    await until(() => listener.connections === 0);
    assert.equal(await silent.end(), "", "nothing in clear after 220");
  }));

test("TLS: a TLS 1.1 client does not get in", () =>
  withBench({ implicitTls: true }, async ({ port }) => {
    const options = { port, host: "127.0.0.1", rejectUnauthorized: false };
    const socket = tlsConnect({ ...options, minVersion: "TLSv1", maxVersion: "TLSv1.1" });
    await new Promise((resolve) => socket.once("error", resolve));
    assert.equal(socket.authorized, false);
  }));

test("stop: idle sessions get 421 at once, a message in arrival is taken first", async () => {
  const { listener, recorder, port } = await startBench();
  const idle = await greeted(port);
  const busy = await greeted(port);
  busy.send("MAIL FROM:<a@x.test>\r\nRCPT TO:<later@x.test>\r\nDATA\r\n");
  await replies(busy, 3);
  busy.send("half");
  await wait(20);
  const stopped = listener.stop({ graceMs: 5000 });
  assert.match(await idle.reply(), /^421 4.3.2/);
  busy.send(" and half\r\n.\r\n");
  await until(() => recorder.held === 1);
  const late = connect(port, "127.0.0.1");
  await new Promise((resolve) => late.once("error", resolve));
  recorder.release();
  assert.match(await busy.reply(), /^250/);
  assert.match(await busy.reply(), /^421 4.3.2/);
  idle.socket.destroy();
  busy.socket.destroy();
  await stopped;
  assert.equal(recorder.messages[0]?.text, "half and half\r\n");
  assert.equal(listener.connections, 0);
});

test("stop: what is left after the grace is destroyed", async () => {
  const { listener, recorder, port } = await startBench();
  const client = await greeted(port);
  client.send(`${ENVELOPE}never ends`);
  await replies(client, 3);
  const begun = performance.now();
  await listener.stop({ graceMs: 50 });
  assert.ok(performance.now() - begun < 2000);
  assert.equal(recorder.aborted, 1);
  assert.equal(await client.end(), "");
});

test("listen: a port that is taken rejects", () =>
  withBench({}, async ({ port }) => {
    await assert.rejects(startBench({ port }), { code: "EADDRINUSE" });
  }));
