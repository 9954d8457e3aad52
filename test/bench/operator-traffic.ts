/**
 * What the operator asks of the API server, seen from outside: the audit log says which requests, a TCP proxy
 * between the two how many bytes. Nothing is taken from what the operator says of itself.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { AuditLine } from "../cluster/control-plane.ts";

export type Bytes = { readonly sent: number; readonly received: number };

export type CountingProxy = {
  readonly port: number;
  /** As the operator sees it, TLS included. */
  bytes(): Bytes;
  close(): Promise<void>;
};

/** On loopback, to a port on loopback. */
export async function startCountingProxy(targetPort: number): Promise<CountingProxy> {
  const sockets = new Set<Socket>();
  let sent = 0;
  let received = 0;
  const server = createServer((client) => {
    const upstream = connect(targetPort, "127.0.0.1");
    client.on("data", (chunk: Buffer) => {
      sent += chunk.length;
    });
    upstream.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.setNoDelay();
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    bytes: () => ({ sent, received }),
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

export type Requests = {
  /** By the API server's verb: get, list, watch, create, update, patch, delete. */
  readonly byVerb: Readonly<Record<string, number>>;
  /** Everything that changes something, but for the Lease. */
  readonly writes: number;
  readonly leases: number;
};

const isWrite = /^(create|update|patch|delete)$/;

/** Those of one user; a watch counts when it is opened, everything else when it is answered. */
export function requestsOf(lines: readonly AuditLine[], username: string): Requests {
  const byVerb: Record<string, number> = {};
  let writes = 0;
  let leases = 0;
  for (const { verb, user, requestURI, stage } of lines) {
    const counts = verb === "watch" ? stage === "ResponseStarted" : stage === "ResponseComplete";
    if (user.username !== username || !counts) continue;
    byVerb[verb] = (byVerb[verb] ?? 0) + 1;
    const isLease = requestURI.startsWith("/apis/coordination.k8s.io/");
    if (isLease) leases += 1;
    else if (isWrite.test(verb)) writes += 1;
  }
  return { byVerb, writes, leases };
}

export function requestsSince(before: Requests, after: Requests): Requests {
  const byVerb = Object.entries(after.byVerb).map(
    ([verb, count]) => [verb, count - (before.byVerb[verb] ?? 0)] as const,
  );
  return {
    byVerb: Object.fromEntries(byVerb.filter(([, count]) => count > 0)),
    writes: after.writes - before.writes,
    leases: after.leases - before.leases,
  };
}

export type Phase = {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly requests: Requests;
  readonly bytes: Bytes;
};

type Counted = { readonly proxy: CountingProxy; requests(): Requests };

/** From now until `end`, what an operator does; `cpuMs` is its processor time so far. */
export function startPhase({ proxy, requests }: Counted, cpuMs: () => number): { end(): Phase } {
  const from = {
    requests: requests(),
    bytes: proxy.bytes(),
    cpuMs: cpuMs(),
    ms: performance.now(),
  };
  return {
    end() {
      const seconds = (performance.now() - from.ms) / 1000;
      const cpuSeconds = (cpuMs() - from.cpuMs) / 1000;
      const { sent, received } = proxy.bytes();
      return {
        seconds,
        cpuSeconds,
        requests: requestsSince(from.requests, requests()),
        bytes: { sent: sent - from.bytes.sent, received: received - from.bytes.received },
      };
    },
  };
}
