/**
 * The page of `mailroute dev`, and the two questions it asks. Adapter over node:http; it answers only to
 * localhost by name, so that no web page elsewhere can read mail through the browser.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Journal } from "./journal.ts";

export type Page = { readonly url: string; close(): Promise<void> };

/** Rejects where the port is taken. */
export function startPage(journal: Journal, port: number): Promise<Page> {
  const html = readFileSync(join(import.meta.dirname, "page.html"));
  const server = createServer((request, response) => answer({ request, response, journal, html }));
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const url = `http://localhost:${(server.address() as AddressInfo).port}/`;
      resolve({ url, close: () => closed(server) });
    });
  });
}

type Visit = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly journal: Journal;
  readonly html: Buffer;
};

function answer({ request, response, journal, html }: Visit): void {
  const host = request.headers.host?.replace(/:\d+$/, "");
  if (host !== "localhost" && host !== "127.0.0.1") return send(response, 421, "text/plain", "only for localhost\n");
  const url = new URL(request.url ?? "/", "http://localhost");
  if (url.pathname === "/") return send(response, 200, "text/html; charset=utf-8", html);
  if (url.pathname === "/rows") {
    const rows = journal.rowsAfter(Number(url.searchParams.get("after") ?? -1));
    return send(response, 200, "application/json", JSON.stringify(rows));
  }
  const body = url.pathname.startsWith("/message/") ? journal.body(url.pathname.slice(9)) : undefined;
  if (body === undefined) return send(response, 404, "text/plain", "not here\n");
  send(response, 200, "text/plain; charset=utf-8", body);
}

function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'",
  });
  response.end(body);
}

function closed(server: ReturnType<typeof createServer>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
