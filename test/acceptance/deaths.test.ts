/** Whom a relay blames that has died while it delivered: a message that it worked on, not one that waited for its host. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { askRelay } from "../../cli/relay-door.ts";
import type { Listed } from "../../relay/queue/orders.ts";
import { eventually, hostsRoute, relayProcess } from "../ledger/relay-process.ts";
import { idIn, send } from "./client.ts";

/** A next hop that speaks for as long as `replies` has something, one for each line that it hears. */
async function hostOf(context: TestContext, replies: readonly string[]): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const left = [...replies];
    const say = (): void => void (left.length > 0 && socket.write(`${left.shift()}\r\n`));
    socket.on("error", () => undefined).on("data", say);
    say();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test("deaths: three of them hold what was worked on each time, and not what waited for a silent host", {
  timeout: 120_000,
}, async (context) => {
  const silent = await hostOf(context, []);
  const hanging = await hostOf(context, ["220 hop.test", "250 hop.test"]);
  const relay = relayProcess();
  context.after(() => relay.close());
  const route = (name: string, port: number): object =>
    hostsRoute(name, { suffixes: [`${name}.test`] }, [{ host: "127.0.0.1", port }]);
  relay.routes("a.yaml", [route("silent", silent), route("hanging", hanging)]);
  await relay.start();
  const waits = idIn((await send(relay.port(), { to: ["u@silent.test"] })).data);
  const works = idIn((await send(relay.port(), { to: ["u@hanging.test"] })).data);
  const listed = async (): Promise<Listed[]> => {
    const messages: Listed[] = [];
    const path = join(relay.directory, "spool/control.sock");
    await askRelay({ kind: "socket", path }, { path: "/queue" }, (line) => {
      messages.push(JSON.parse(line) as Listed);
    });
    return messages;
  };
  const areUnderWay = async (): Promise<boolean> =>
    (await listed()).every(({ recipients }) => recipients.every(({ underWay }) => underWay));
  for (let death = 1; death <= 3; death += 1) {
    await eventually(areUnderWay, { msMax: 20_000, what: `both are tried before death ${death}` });
    await sleep(1000); // who waits for his host is known to do so after a moment
    await relay.kill("SIGKILL");
    await relay.start();
  }
  const held = (await listed()).map(({ id, held: why }) => [id, why !== undefined]);
  assert.deepEqual(held, [
    [waits, false],
    [works, true],
  ]);
});
