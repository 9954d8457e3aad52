/**
 * A tap on the wire between two programs: hands TCP through to a port of loopback, and keeps what each side said,
 * one piece for each read. Changes nothing, and does not see into TLS.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export type Piece = { readonly from: "client" | "server"; readonly text: string };

export type Tap = {
  readonly port: number;
  readonly pieces: readonly Piece[];
  close(): Promise<void>;
};

/** Octets are kept as latin1. */
export async function tapTo(target: number): Promise<Tap> {
  const pieces: Piece[] = [];
  const sockets = new Set<Socket>();
  const join = (from: Piece["from"], here: Socket, there: Socket): void => {
    sockets.add(here);
    here.on("data", (chunk: Buffer) => {
      pieces.push({ from, text: chunk.toString("latin1") });
      there.write(chunk);
    });
    here.on("end", () => there.end());
    here.on("error", () => there.destroy());
    here.on("close", () => sockets.delete(here));
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const onward = connect({
      port: target,
      host: "127.0.0.1",
      allowHalfOpen: true,
      noDelay: true,
    });
    join("client", client, onward);
    join("server", onward, client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    pieces,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
