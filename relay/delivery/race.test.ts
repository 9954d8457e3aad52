/** Hosts with several addresses, of which some are silent, closed or in no mood. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { Worker } from "node:worker_threads";
import { deadPort, deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";
import { misbehaving } from "./misbehaving.testkit.ts";
import type { MisbehavingOptions } from "./misbehaving-options.testkit.ts";
import { interleaved } from "./race.ts";

/** Listens at the address and accepts nothing; its queue is full, so whoever connects waits for ever. */
async function silentAt(context: TestContext, host: string): Promise<number> {
  const code = `
    const { parentPort, workerData } = require("node:worker_threads");
    const server = require("node:net").createServer();
    server.listen({ port: 0, host: workerData, backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const worker = new Worker(code, { eval: true, workerData: host });
  const [port] = (await once(worker, "message")) as [number];
  const fillers: Socket[] = [];
  context.after(async () => {
    for (const socket of fillers) socket.destroy();
    await worker.terminate();
  });
  for (let isFull = false; !isFull; ) {
    const socket = connect({ host, port }).on("error", () => {});
    fillers.push(socket);
    const late = new Promise<"late">((resolve) => setTimeout(resolve, 500, "late"));
    isFull = (await Promise.race([once(socket, "connect"), late])) === "late";
  }
  return port;
}

type Opened = { readonly address: string };

function deliveryTo(context: TestContext, addresses: readonly string[]) {
  const opened: Opened[] = [];
  const delivery = deliveryFor({
    resolver: {
      srv: async () => ({ kind: "none" }),
      mx: async () => ({ kind: "none" }),
      txt: async () => ({ kind: "none" }),
      addresses: async () => ({ kind: "addresses", addresses }),
      close() {},
    },
    // Whoever waits for a silent address waits longer than this test may take.
    limits: { connectMsMax: 600_000 },
    events: { connectionOpened: ({ address }) => opened.push({ address }) },
    random: () => 0,
  });
  context.after(async () => await delivery.close({ graceMs: 0 }));
  return { delivery, opened };
}

const at = async (context: TestContext, options: MisbehavingOptions) => {
  const host = await misbehaving(options);
  context.after(async () => await host.close());
  return host;
};

const bounded = { timeout: 20_000 };

test(
  "race: a silent address does not keep the mail from the next one",
  bounded,
  async (context) => {
    const port = await silentAt(context, "127.0.0.2");
    await at(context, { port });
    const { delivery, opened } = deliveryTo(context, ["127.0.0.2", "127.0.0.1"]);
    const route = routeTo([{ host: "two.test", port }]);
    const [outcome] = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
    assert.equal(outcome?.kind, "delivered");
    assert.deepEqual(opened, [{ address: "127.0.0.1" }]);
  },
);

test(
  "race: an address that refuses is followed by the next at once, one that answers by none",
  bounded,
  async (context) => {
    const port = await deadPort();
    const host = await at(context, { port });
    const { delivery, opened } = deliveryTo(context, ["127.0.0.2", "127.0.0.1", "127.0.0.3"]);
    const route = routeTo([{ host: "three.test", port }]);
    const [outcome] = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
    assert.equal(outcome?.kind, "delivered");
    assert.deepEqual(opened, [{ address: "127.0.0.1" }]);
    assert.equal(host.sessions(), 1);
  },
);

test(
  "race: an address that connects and then says 421 is followed by the others",
  bounded,
  async (context) => {
    const first = await at(context, { banner: "temp-421" });
    await at(context, { port: first.port, host: "127.0.0.2" });
    const { delivery, opened } = deliveryTo(context, ["127.0.0.1", "127.0.0.2"]);
    const route = routeTo([{ host: "two.test", port: first.port }]);
    const [outcome] = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
    assert.equal(outcome?.kind, "delivered");
    assert.deepEqual(opened, [{ address: "127.0.0.2" }]);
    assert.equal(first.sessions(), 1);
  },
);

test(
  "race: with no address that connects the mail waits, and a stop ends it",
  bounded,
  async (context) => {
    const port = await silentAt(context, "127.0.0.2");
    const { delivery } = deliveryTo(context, ["127.0.0.2"]);
    const route = routeTo([{ host: "two.test", port }]);
    const stop = new AbortController();
    const waiting = delivery.deliver(jobTo(route, ["a@to.test"]), stop.signal);
    stop.abort();
    const [outcome] = await waiting;
    assert.equal(outcome?.kind === "deferred" && outcome.cause, "shutdown");
  },
);

test("race: the families take turns, and keep their order within", () => {
  const four = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
  const six = ["2001:db8::1", "2001:db8::2"];
  assert.deepEqual(interleaved([...four, ...six]), [
    ...["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2", "192.0.2.3"],
  ]);
  assert.deepEqual(interleaved(six), six);
  assert.deepEqual(interleaved([]), []);
});
