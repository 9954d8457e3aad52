/**
 * The next hop of `mailroute dev`: takes every message that the relay sends anywhere, and knows for which
 * host it was meant. Our own listener with a reception that keeps. Nothing ever leaves the machine.
 */
import { connect, type Socket } from "node:net";
import type { ListenerEvents } from "../../relay/listener/events.ts";
import type { ListenerLimits } from "../../relay/listener/limits.ts";
import type { Reception, Transaction } from "../../relay/listener/reception.ts";
import { createListener } from "../../relay/listener/server.ts";

export type NextHop = {
  dial(host: string, port: number): Socket;
  close(): Promise<void>;
};

const ok = { code: 250, status: "2.0.0", text: "kept" };

/** `caught` gets the bytes of each message. */
export async function startNextHop(
  limits: ListenerLimits,
  caught: (body: Buffer) => void,
): Promise<NextHop> {
  const listener = createListener({
    name: "next-hop",
    host: "127.0.0.1",
    port: 0,
    hostname: "next-hop.example",
    reception: keeping(caught),
    limits,
    events: silent,
  });
  await listener.listen();
  const { port } = listener.address();
  return {
    dial: () => connect(port, "127.0.0.1"),
    close: async () => await listener.stop({ graceMs: 500 }),
  };
}

function keeping(caught: (body: Buffer) => void): Reception {
  const transaction: Transaction = {
    accepted: ok,
    rcpt: () => ok,
    data: () => undefined,
    message: async ({ chunks }) => {
      caught(Buffer.concat(chunks));
      return ok;
    },
    abort() {},
  };
  return { connect: () => undefined, mail: () => transaction, closed() {} };
}

const silent: ListenerEvents = {
  opened() {},
  closed() {},
  turnedAway() {},
  refused() {},
  limit() {},
  clientCertificate() {},
  proxy() {},
  failed() {},
};
