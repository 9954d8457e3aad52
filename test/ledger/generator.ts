/**
 * The ledger's sender: numbered messages over many kept connections, at a steady rate or as fast as they
 * are answered. It reconnects for as long as it runs, and writes down of every number whether it was
 * answered 250.
 */
import { connect, type Socket } from "node:net";
import { crc32 } from "node:zlib";
import type { Entry } from "./reckoning.ts";

export type GeneratorOptions = {
  /** Where the relay listens now; undefined while it is down. */
  readonly port: () => number | undefined;
  readonly host?: string;
  readonly connections: number;
  /** 0: as fast as answered. */
  readonly messagesPerSecond: number;
  readonly bodyBytes: number | ((number: number) => number);
  readonly address: (number: number) => { readonly to: string; readonly domain: string };
  /** Then another connection, so that new ones are shared out anew; unlimited by default. */
  readonly messagesPerConnectionMax?: number;
  readonly stopMsMax?: number;
  /** Called when a message has been answered, or its connection has gone. */
  readonly ended?: (entry: Entry) => void;
};

export type Generator = {
  readonly entries: readonly Entry[];
  /** Messages sent and not yet answered. */
  underWay(): number;
  /** Waits for what is under way, at most `stopMsMax`: a relay that never answers holds nobody up. */
  stop(): Promise<void>;
};

const reconnectMs = 20;
const stopMsMaxDefault = 30_000;
const sender = "ledger@sender.test";

export function startGenerator(options: GeneratorOptions): Generator {
  const entries: Entry[] = [];
  const startedMs = performance.now();
  let running = true;
  let waiting = 0;
  const { bodyBytes } = options;
  const bodies = new Map<number, Body>();
  const bodyOf = (number: number): Body => {
    const bytes = typeof bodyBytes === "number" ? bodyBytes : bodyBytes(number);
    const known = bodies.get(bytes) ?? fillerOf(bytes);
    bodies.set(bytes, known);
    return known;
  };
  const due = async (): Promise<void> => {
    const number = entries.length + waiting;
    if (options.messagesPerSecond > 0) {
      const dueMs = startedMs + (number * 1000) / options.messagesPerSecond - performance.now();
      if (dueMs > 0) {
        waiting += 1;
        await sleep(dueMs);
        waiting -= 1;
      }
    }
  };
  let underWay = 0;
  const sockets = new Set<Socket>();
  const worker = async (): Promise<void> => {
    while (running) {
      const port = options.port();
      const { host = "127.0.0.1" } = options;
      const client = port === undefined ? undefined : await open({ host, port, sockets });
      if (client === undefined) {
        await sleep(reconnectMs);
        continue;
      }
      let left = options.messagesPerConnectionMax ?? Number.POSITIVE_INFINITY;
      for (; left > 0 && running && client.alive(); left--) {
        await due();
        if (!running || !client.alive()) break;
        const number = entries.length;
        const { to, domain } = options.address(number);
        const entry: Entry = { number, domain, sentMs: Date.now(), answered: false };
        entries.push(entry);
        underWay += 1;
        const { filler, crc } = bodyOf(number);
        entry.answered = await client.send(
          to,
          `X-Ledger: ${number}\r\nX-Crc: ${crc}\r\nSubject: ${number}\r\n\r\n${filler}.\r\n`,
        );
        underWay -= 1;
        options.ended?.(entry);
      }
      client.end();
    }
  };
  const workers = Array.from({ length: options.connections }, worker);
  return {
    entries,
    underWay: () => underWay,
    async stop() {
      running = false;
      const late = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, options.stopMsMax ?? stopMsMaxDefault);
      await Promise.all(workers);
      clearTimeout(late);
    },
  };
}

type Body = { readonly filler: string; readonly crc: number };

function fillerOf(bytes: number): Body {
  const filler = `${"x".repeat(70)}\r\n`.repeat(Math.ceil(bytes / 72));
  return { filler, crc: crc32(filler) };
}

type Client = { alive(): boolean; send(to: string, body: string): Promise<boolean>; end(): void };

async function open({
  host,
  port,
  sockets,
}: {
  readonly host: string;
  readonly port: number;
  readonly sockets: Set<Socket>;
}): Promise<Client | undefined> {
  const socket = connect({ port, host, noDelay: true });
  sockets.add(socket);
  socket.once("close", () => sockets.delete(socket));
  const replies = replyReader(socket);
  const banner = await replies();
  if (banner !== "220") {
    socket.destroy();
    return undefined;
  }
  socket.write("EHLO ledger.test\r\n");
  if ((await replies()) !== "250") {
    socket.destroy();
    return undefined;
  }
  return {
    alive: () => !socket.destroyed,
    end: () => socket.end("QUIT\r\n"),
    async send(to, body) {
      socket.write(`MAIL FROM:<${sender}>\r\nRCPT TO:<${to}>\r\nDATA\r\n`);
      const [mail, rcpt, data] = [await replies(), await replies(), await replies()];
      if (mail !== "250" || rcpt !== "250" || data !== "354") {
        if (data === "354") socket.destroy();
        return false;
      }
      socket.write(body);
      return (await replies()) === "250";
    },
  };
}

/** Codes of whole replies in order; "" once the connection is gone. */
function replyReader(socket: Socket): () => Promise<string> {
  let text = "";
  const codes: string[] = [];
  const readers: ((code: string) => void)[] = [];
  const give = (code: string): void => {
    const reader = readers.shift();
    if (reader === undefined) codes.push(code);
    else reader(code);
  };
  socket.setEncoding("latin1");
  socket.on("data", (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
      if (text[3] === " ") give(text.slice(0, 3));
      text = text.slice(end + 2);
    }
  });
  socket.on("error", () => socket.destroy());
  socket.on("close", () => {
    for (const reader of readers.splice(0)) reader("");
  });
  return async () =>
    codes.shift() ??
    (socket.destroyed ? "" : await new Promise<string>((resolve) => readers.push(resolve)));
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
