/** PROXY twins, where a dialog is not enough: several connections, TLS in the header's segment, the end. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";
import { networkSet } from "../../routing/network.ts";
import { type Bench, startBench, TestClient } from "./dialog.testkit.ts";

const balancers = networkSet(["127.0.0.1"]);
const header = (address: string): string => `PROXY TCP4 ${address} 198.51.100.7 40000 25\r\n`;

async function withTwin(
  options: Parameters<typeof startBench>[0],
  run: (bench: Bench) => Promise<void>,
): Promise<void> {
  const bench = await startBench({ balancers, ...options });
  try {
    await run(bench);
  } finally {
    await bench.listener.stop({ graceMs: 0 });
  }
}

function through(port: number, address: string): TestClient {
  const client = new TestClient(port);
  client.send(header(address));
  return client;
}

async function until(true_: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !true_(); i += 1) await wait(5);
  assert.ok(true_());
}

test("PROXY twin: connections are counted by client, never against the balancer", () =>
  withTwin({ limits: { connectionsPerClientMax: 1 } }, async ({ port, recorder, listener }) => {
    const first = through(port, "192.0.2.1");
    assert.match(await first.reply(), /^220/);
    assert.match(await through(port, "192.0.2.2").reply(), /^220/);
    assert.match(await through(port, "192.0.2.1").reply(), /^421 4.7.0/);
    assert.ok(recorder.log.includes("limit connectionsPerClientMax"));
    first.send("QUIT\r\n");
    assert.match(await first.reply(), /^221/);
    first.socket.destroy();
    await until(() => listener.connections === 1);
    assert.match(await through(port, "192.0.2.1").reply(), /^220/);
  }));

test("PROXY twin: a strange host is closed, counted, and never asked about", () =>
  withTwin({}, async ({ port, recorder, listener }) => {
    const socket = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.2" });
    const stranger = new TestClient(port, socket);
    stranger.send(header("192.0.2.1"));
    assert.equal(await stranger.end(), "");
    await until(() => recorder.log.length > 0);
    assert.deepEqual(recorder.log, ["proxy stranger"]);
    assert.deepEqual(recorder.proxied, ["127.0.0.2"]);
    assert.deepEqual(recorder.clients, []);
    assert.equal(listener.connections, 0);
  }));

test("PROXY twin: a message in the header's segment is taken whole", () =>
  withTwin({}, async ({ port, recorder }) => {
    const body = `${"x".repeat(70)}\r\n`.repeat(1000);
    const client = new TestClient(port);
    client.send(
      `${header("192.0.2.1")}EHLO a.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n${body}.\r\n`,
    );
    for (const code of [220, 250, 250, 250, 354, 250]) {
      assert.equal((await client.reply()).slice(0, 3), String(code));
    }
    assert.equal(recorder.messages[0]?.text, body);
    assert.equal(recorder.messages[0]?.client.address, "192.0.2.1");
    assert.equal(recorder.messages[0]?.client.localAddress, "198.51.100.7");
  }));

test("PROXY twin: a balancer that closes its side behind the header still gets its replies", () =>
  withTwin({}, async ({ port, listener }) => {
    const bare = new TestClient(port);
    bare.socket.end("PROXY UNKNOWN\r\n");
    assert.match(await bare.end(), /^220 [^\n]*\r\n$/);
    const asking = new TestClient(port);
    asking.socket.end(`${header("192.0.2.1")}NOOP\r\n`);
    assert.match(await asking.end(), /^220 [^\n]*\r\n250 [^\n]*\r\n$/);
    await until(() => listener.connections === 0);
  }));

test("PROXY twin: who vanishes or closes before the header is whole leaves nothing behind", () =>
  withTwin({}, async ({ port, recorder, listener }) => {
    const reset = new TestClient(port);
    reset.send("PROXY ");
    await new Promise((resolve) => reset.socket.once("connect", resolve));
    reset.socket.resetAndDestroy();
    const ended = new TestClient(port);
    ended.socket.end("PROXY TCP4 192.0.2.1");
    assert.equal(await ended.end(), "");
    await until(() => recorder.log.filter((line) => line === "proxy closed").length === 2);
    assert.deepEqual(recorder.clients, []);
    assert.deepEqual(recorder.failures, []);
    assert.equal(listener.connections, 0);
  }));

test("PROXY twin: no more wait for their headers than there may be connections", () =>
  withTwin({ limits: { connectionsMax: 1 } }, async ({ port, recorder }) => {
    const waiting = new TestClient(port);
    await new Promise((resolve) => waiting.socket.once("connect", resolve));
    const second = through(port, "192.0.2.1");
    assert.equal(await second.end(), "");
    assert.ok(recorder.log.includes("proxy crowded"));
    waiting.send(header("192.0.2.2"));
    assert.match(await waiting.reply(), /^220/);
  }));

test("PROXY twin: stopping closes those whose header is still to come", async () => {
  const { listener, port, recorder } = await startBench({ balancers });
  const client = new TestClient(port);
  client.send("PROXY ");
  await new Promise((resolve) => client.socket.once("connect", resolve));
  await until(() => listener.pending === 1);
  await listener.stop({ graceMs: 5000 });
  assert.equal(await client.end(), "");
  assert.deepEqual(recorder.log, ["proxy closed"]);
});

/** A TLS client whose bytes go out as `send` says, so that a header can share its first segment. */
function tlsOver(outer: TestClient, send: (hello: Buffer) => Promise<void>): TestClient {
  const [inner, wire] = duplexPair();
  outer.socket.removeAllListeners("data");
  outer.socket.on("data", (data: Buffer) => wire.write(data));
  wire.once("data", (hello: Buffer) => {
    wire.pause();
    void send(hello).then(() => wire.on("data", (data) => outer.socket.write(data)).resume());
  });
  const socket = tlsConnect({ socket: inner as Duplex, rejectUnauthorized: false });
  return new TestClient(0, socket);
}

for (const cut of ["none", 0, 1, 40, "at the end", "in the hello"] as const) {
  test(`PROXY twin with implicit TLS: header and hello in one flow, cut: ${cut}`, () =>
    withTwin({ implicitTls: true }, async ({ port, recorder }) => {
      const outer = new TestClient(port);
      outer.socket.setNoDelay(true);
      const client = tlsOver(outer, async (hello) => {
        const head = Buffer.from(header("192.0.2.1"));
        const all = Buffer.concat([head, hello]);
        const places = {
          none: all.length,
          "at the end": head.length,
          "in the hello": head.length + 9,
        };
        const at = typeof cut === "number" ? cut : places[cut];
        outer.socket.write(all.subarray(0, at));
        await wait(20);
        if (at < all.length) outer.socket.write(all.subarray(at));
      });
      assert.match(await client.reply(), /^220 mx.test/);
      client.send("EHLO a.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n");
      for (const code of [250, 250, 250, 354]) {
        assert.equal((await client.reply()).slice(0, 3), String(code));
      }
      client.send("over TLS\r\n.\r\n");
      assert.match(await client.reply(), /^250/);
      const [got] = recorder.messages;
      assert.equal(got?.client.address, "192.0.2.1");
      assert.equal(got?.client.balancer, "127.0.0.1");
      assert.match(got?.greeting.tls?.version ?? "", /^TLSv1\.[23]$/);
      outer.socket.destroy();
    }));
}

test("PROXY twin with implicit TLS: a header inside TLS is no header", () =>
  withTwin({ implicitTls: true }, async ({ port, recorder }) => {
    const options = { port, host: "127.0.0.1", rejectUnauthorized: false };
    const client = new TestClient(port, tlsConnect(options));
    client.send(header("192.0.2.1"));
    assert.equal(await client.end(), "");
    assert.deepEqual(recorder.log, ["proxy malformed"]);
  }));
