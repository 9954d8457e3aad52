/** Relays that answer as told, on loopback, and their pods on a server that behaves as the API server does. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { ApiServer } from "../kube/api-server.testkit.ts";
import { Relays } from "./relays.ts";

const path = "/api/v1/namespaces/mail/pods/relay-0";

type Relay = {
  nowMs: number;
  readonly relays: Relays;
  /** What /revision does. */
  reply: RequestListener;
  readonly asked: () => number;
  pod(containerID: string, ready?: "True" | "False"): void;
  close(): Promise<void>;
  digest(): Promise<string | undefined>;
};

async function relayFor(context: TestContext): Promise<Relay> {
  const server = await ApiServer.start();
  let asked = 0;
  const http = createServer((request, response) => {
    asked += 1;
    relay.reply(request, response);
  }).listen(0, "127.0.0.1");
  await once(http, "listening");
  const { port } = http.address() as AddressInfo;
  const relays = new Relays({
    api: server.api,
    namespace: "mail",
    selector: "app=relay",
    adminPort: port,
    now: () => relay.nowMs,
  });
  const close = async (): Promise<void> => {
    if (!http.listening) return;
    http.close();
    http.closeAllConnections();
    await once(http, "close");
  };
  const relay: Relay = {
    nowMs: 0,
    relays,
    reply: serves("one"),
    asked: () => asked,
    pod(containerID, ready = "True") {
      const conditions = [{ type: "Ready", status: ready }];
      const containerStatuses = containerID === "" ? [] : [{ name: "relay", containerID }];
      const status = { podIP: "127.0.0.1", conditions, containerStatuses };
      server.set(path, { metadata: { labels: { app: "relay" } }, status });
    },
    close,
    digest: async () => (await relays.ask())[0]?.digest,
  };
  context.after(async () => {
    await close();
    await server.close();
  });
  relay.pod("first");
  return relay;
}

const serves =
  (digest: string): RequestListener =>
  (_, response) =>
    void response.end(JSON.stringify({ digest }));
const cuts: RequestListener = (_, response) => void response.destroy();

test("relays: an ask that fails is no news of a process that has answered", async (context) => {
  const relay = await relayFor(context);
  assert.equal(await relay.digest(), "one");
  relay.reply = cuts;
  assert.equal(await relay.digest(), "one");
  relay.reply = serves("two");
  assert.equal(await relay.digest(), "two");
});

test("relays: a connection that is cut is followed by one more, which may say more", async (context) => {
  const relay = await relayFor(context);
  relay.reply = (request, response) => {
    relay.reply = serves("one");
    cuts(request, response);
  };
  assert.equal(await relay.digest(), "one");
  assert.equal(relay.asked(), 2);
});

test("relays: one that never answered serves nothing that is known", async (context) => {
  const relay = await relayFor(context);
  relay.reply = cuts;
  assert.equal(await relay.digest(), undefined);
});

test("relays: of a container that was started again the answer before counts no more", async (context) => {
  const relay = await relayFor(context);
  assert.equal(await relay.digest(), "one");
  relay.pod("second");
  relay.reply = cuts;
  assert.equal(await relay.digest(), undefined);
});

test("relays: of a pod that was not ready for a while the answer before counts no more", async (context) => {
  const relay = await relayFor(context);
  assert.equal(await relay.digest(), "one");
  relay.pod("first", "False");
  assert.deepEqual(await relay.relays.ask(), []);
  relay.pod("first");
  relay.reply = cuts;
  assert.equal(await relay.digest(), undefined);
});

test("relays: where nobody listens any more the answer before counts no more", async (context) => {
  const relay = await relayFor(context);
  assert.equal(await relay.digest(), "one");
  await relay.close();
  assert.equal(await relay.digest(), undefined);
});

test("relays: of a pod that does not name its containers no answer is kept", async (context) => {
  const relay = await relayFor(context);
  relay.pod("");
  assert.equal(await relay.digest(), "one");
  relay.reply = cuts;
  assert.equal(await relay.digest(), undefined);
});

test("relays: an answer is kept for a few seconds only", async (context) => {
  const relay = await relayFor(context);
  assert.equal(await relay.digest(), "one");
  relay.reply = cuts;
  relay.nowMs = 4999;
  assert.equal(await relay.digest(), "one");
  relay.nowMs = 5000;
  assert.equal(await relay.digest(), undefined);
});
