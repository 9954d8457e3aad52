/** Ports of loopback for processes that cannot choose one themselves. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { eventually } from "../ledger/relay-process.ts";

export async function freePort(host = "127.0.0.1"): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Resolves when whoever listens there says something. */
export async function greets(port: number, what: string): Promise<void> {
  await eventually(async () => await saysSomething(port), { msMax: 20_000, what });
}

function saysSomething(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("data", () => resolve(socket.destroy().destroyed));
    socket.once("close", () => resolve(false));
    socket.once("error", () => resolve(false));
  });
}
