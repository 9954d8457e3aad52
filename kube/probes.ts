/**
 * The HTTP side of a process for Kubernetes and Prometheus: /metrics, /healthz, /readyz, /revision. Adapter over
 * node:http; it answers what it is given and decides nothing.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { listenOn } from "./dual-stack.ts";

export type Readiness = { readonly ready: boolean; readonly detail: readonly string[] };

export type ProbeOptions = {
  readonly host: string;
  readonly port: number;
  metrics(): Promise<string>;
  readiness(): Readiness;
  /** Which table is served: `{digest, format, activatedAt, stale}`. */
  revision(): object;
  /** Whatever else a process answers; undefined where it is none of its. */
  more?(request: IncomingMessage, response: ServerResponse): Promise<void> | undefined;
};

export type Probes = { readonly port: number; close(): Promise<void> };

/** On "::" where there is no IPv6 they are on IPv4. Rejects with the listening error, as when the port is taken. */
export async function startProbes(options: ProbeOptions): Promise<Probes> {
  const server = createServer((request, response) => {
    const more = options.more?.(request, response);
    (more ?? answer(options, request.url ?? "/", response)).catch((error: unknown) => {
      send(response, 500, "text/plain", `${String(error)}\n`);
    });
  });
  server.requestTimeout = 10_000;
  server.maxConnections = 256;
  await listenOn(server, options);
  // A connection that cannot be accepted, as without file descriptors, is asked for again by who probes.
  server.on("error", () => undefined);
  const { port } = server.address() as AddressInfo;
  return { port, close: () => closeServer(server) };
}

async function answer(options: ProbeOptions, url: string, response: ServerResponse): Promise<void> {
  switch (url.replace(/\?.*$/, "")) {
    case "/metrics":
      send(response, 200, "text/plain; version=0.0.4; charset=utf-8", await options.metrics());
      return;
    case "/healthz":
      send(response, 200, "text/plain", "ok\n");
      return;
    case "/readyz": {
      const { ready, detail } = options.readiness();
      send(
        response,
        ready ? 200 : 503,
        "text/plain",
        `${[ready ? "ready" : "not ready", ...detail].join("\n")}\n`,
      );
      return;
    }
    case "/revision":
      send(response, 200, "application/json", `${JSON.stringify(options.revision())}\n`);
      return;
    default:
      send(response, 404, "text/plain", "here are /metrics, /healthz, /readyz and /revision\n");
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(body);
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
