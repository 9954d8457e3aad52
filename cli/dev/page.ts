/**
 * The page of `mailroute dev`, and the two questions it asks. Adapter over node:http; it answers only to
 * localhost by name, so that no web page elsewhere can read mail through the browser.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Journal } from "./journal.ts";

export type Page = { readonly url: string; close(): Promise<void> };

/** Rejects where the port is taken. */
export function startPage(journal: Journal, port: number): Promise<Page> {
  const html = readFileSync(join(import.meta.dirname, "page.html"));
  const server = createServer((request, response) => {
    send(response, answerTo(request, journal, html));
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const url = `http://localhost:${(server.address() as AddressInfo).port}/`;
      resolve({ url, close: () => closed(server) });
    });
  });
}

type Answer = { readonly status: number; readonly type: string; readonly body: string | Buffer };

function answerTo(request: IncomingMessage, journal: Journal, html: Buffer): Answer {
  const host = request.headers.host?.replace(/:\d+$/, "");
  if (host !== "localhost" && host !== "127.0.0.1") return plain(421, "only for localhost\n");
  const url = URL.parse(request.url ?? "/", "http://localhost");
  if (url === null) return plain(400, "not an address here\n");
  if (url.pathname === "/") return { status: 200, type: "text/html; charset=utf-8", body: html };
  if (url.pathname === "/rows") {
    const rows = journal.rowsAfter(Number(url.searchParams.get("after") ?? -1));
    return { status: 200, type: "application/json", body: JSON.stringify(rows) };
  }
  const id = /^\/message\/(.+)$/.exec(url.pathname)?.[1] ?? "";
  const body = journal.body(id);
  return body === undefined ? plain(404, "not here\n") : plain(200, body);
}

function plain(status: number, body: string): Answer {
  return { status, type: "text/plain; charset=utf-8", body };
}

function send(response: ServerResponse, { status, type, body }: Answer): void {
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "x-content-type-options": "nosniff",
    "content-security-policy":
      "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'",
  });
  response.end(body);
}

function closed(server: ReturnType<typeof createServer>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
