/**
 * A next hop that records: plain sockets, SMTP just as far as a relay needs it. It can be taken down and
 * brought up again on the same port, and told to drop the connection after a message without answering.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

export type Received = {
  readonly atMs: number;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly body: Buffer;
};

export type SinkOptions = {
  readonly host?: string;
  readonly port?: number;
  readonly lmtp?: boolean;
  /** Called for each message before it is answered; "drop" closes the connection instead. */
  readonly received: (message: Received) => "drop" | undefined;
  /** A reply for a recipient other than 250, as "550 5.1.1 no". */
  readonly refuse?: (recipient: string) => string | undefined;
  /** LMTP: what a recipient is answered after the message, where it is not 250. */
  readonly unkept?: (recipient: string) => string | undefined;
  /** Called for each connection taken. */
  readonly connected?: () => void;
};

export type Sink = {
  readonly port: number;
  /** Connections taken so far. */
  connections(): number;
  down(): Promise<void>;
  up(): Promise<void>;
  close(): Promise<void>;
};

const endOfData = Buffer.from("\r\n.\r\n");

export async function startSink(options: SinkOptions): Promise<Sink> {
  const host = options.host ?? "127.0.0.1";
  const sockets = new Set<Socket>();
  let connections = 0;
  let server: Server | undefined;
  let port = options.port ?? 0;
  const up = async (): Promise<void> => {
    if (server !== undefined) return;
    const fresh = createServer({ noDelay: true }, (socket) => {
      connections += 1;
      options.connected?.();
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      socket.on("error", () => {});
      converse(socket, options);
    });
    fresh.listen(port, host);
    await once(fresh, "listening");
    port = (fresh.address() as AddressInfo).port;
    server = fresh;
  };
  const down = async (): Promise<void> => {
    const old = server;
    server = undefined;
    for (const socket of sockets) socket.destroy();
    if (old !== undefined) await new Promise((resolve) => old.close(resolve));
  };
  await up();
  return { port, connections: () => connections, up, down, close: down };
}

function converse(socket: Socket, options: SinkOptions): void {
  let waiting: Buffer = Buffer.alloc(0);
  let inData = false;
  let isEnding = false;
  let sender = "";
  let recipients: string[] = [];
  const command = (line: string): string => {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === "EHLO" || verb === "LHLO")
      return "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES";
    if (verb === "MAIL") {
      sender = pathIn(line);
      recipients = [];
      return "250 2.1.0 ok";
    }
    if (verb === "RCPT") {
      const refusal = options.refuse?.(pathIn(line));
      if (refusal !== undefined) return refusal;
      recipients.push(pathIn(line));
      return "250 2.1.5 ok";
    }
    if (verb === "DATA") {
      if (recipients.length === 0) return "554 5.5.1 no recipients";
      inData = true;
      return "354 go on";
    }
    if (verb === "QUIT") isEnding = true;
    return verb === "QUIT" ? "221 2.0.0 bye" : "250 2.0.0 ok";
  };
  socket.write("220 sink.test ESMTP\r\n");
  socket.on("data", (chunk: Buffer) => {
    waiting = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
    let replies = "";
    for (;;) {
      if (inData) {
        const whole = waiting.subarray(0, 3).equals(endOfData.subarray(2))
          ? 1
          : waiting.indexOf(endOfData) + 3;
        if (whole === 2) break;
        const end = Math.max(whole - 1, 0);
        const body = Buffer.from(waiting.subarray(0, end));
        waiting = waiting.subarray(end + 3);
        inData = false;
        if (options.received({ atMs: Date.now(), sender, recipients, body }) === "drop") {
          socket.destroy();
          return;
        }
        const answers =
          options.lmtp === true ? recipients.map((each) => options.unkept?.(each)) : [undefined];
        replies += answers.map((answer) => `${answer ?? "250 2.0.0 kept"}\r\n`).join("");
        continue;
      }
      const end = waiting.indexOf("\r\n");
      if (end < 0) break;
      replies += `${command(waiting.toString("utf8", 0, end))}\r\n`;
      waiting = waiting.subarray(end + 2);
    }
    if (isEnding) socket.end(replies);
    else if (replies !== "") socket.write(replies);
  });
}

function pathIn(line: string): string {
  return line.slice(line.indexOf("<") + 1, line.lastIndexOf(">"));
}
