import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startGenerator } from "./generator.ts";

/** Says what it is given for each line that comes in, the first of it at once, and then nothing more. */
async function mute(context: TestContext, replies: readonly string[]) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    const left = [...replies];
    const say = (): void => void socket.write(left.shift() ?? "");
    say();
    socket.on("data", (chunk) => {
      for (const _ of chunk.toString().matchAll(/\r\n/g)) say();
    });
    socket.on("error", () => {});
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { server, sockets, port: (server.address() as AddressInfo).port };
}

for (const { title, replies, underWay } of [
  { title: "never greets", replies: [], underWay: 0 },
  {
    title: "never answers a message",
    replies: ["220 a\r\n", "250 a\r\n", "250 a\r\n", "250 a\r\n", "354 a\r\n"],
    underWay: 1,
  },
]) {
  test(`generator: a relay that ${title} does not hold up who stops it`, {
    timeout: 20_000,
  }, async (context) => {
    const { server, port } = await mute(context, replies);
    const generator = startGenerator({
      port: () => port,
      connections: 1,
      messagesPerSecond: 0,
      bodyBytes: 100,
      stopMsMax: 50,
      address: () => ({ to: "a@a.test", domain: "" }),
    });
    await once(server, "connection");
    while (generator.underWay() !== underWay) await sleep(2);
    await generator.stop();
    assert.ok(generator.entries.every(({ answered }) => !answered));
  });
}
