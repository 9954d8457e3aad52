/**
 * The queue over a local socket: whoever may read and write the spool may ask. Adapter over node:http; the socket
 * lies in the spool's directory, which has one owner at a time.
 */
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";

/** What the kernel takes as a socket's path (unix(7)), without the NUL. */
const pathBytesMax = 107;
const socketMode = 0o600;

export type ControlSocket = { readonly path: string; close(): Promise<void> };

export function socketPathOf(spoolDirectory: string): string {
  return join(spoolDirectory, "control.sock");
}

export type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Rejects with words where it cannot listen. */
export async function listenLocally(
  spoolDirectory: string,
  handler: Handler,
): Promise<ControlSocket> {
  const path = socketPathOf(spoolDirectory);
  if (Buffer.byteLength(path) > pathBytesMax) {
    throw new Error(
      `${path} is too long for a socket (${pathBytesMax} octets): mailroute queue works with a shorter spool.directory`,
    );
  }
  rmSync(path, { force: true }); // a process that died has left it
  const server = createServer((request, response) => {
    handler(request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : undefined);
    });
  });
  // The socket is made, with its mode, before listen() returns.
  const before = process.umask(~socketMode & 0o777);
  try {
    server.listen(path);
  } finally {
    process.umask(before);
  }
  await once(server, "listening");
  return {
    path,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
