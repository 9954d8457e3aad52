/**
 * Takes messages over from relays that leave. Adapter over node:https: answers 200 once a message is on this relay's
 * disk, and nothing else gets the sender to let it go. What the key proves is trusted: sender, admission and age are
 * taken as they come.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { listenOn } from "../../kube/dual-stack.ts";
import type { Change } from "../spool/changes.ts";
import type { Envelope } from "../spool/records.ts";
import type { Spool, Stored } from "../spool/spool.ts";
import { decodeFrame, type Framed } from "./frame.ts";
import { serverTls } from "./key.ts";

export type ReceiverOptions = {
  readonly host: string;
  readonly port: number;
  readonly key: Buffer;
  readonly spool: Pick<Spool, "commit" | "hasRoom">;
  /** One of this relay's own messages. */
  readonly find: (id: string) => Envelope | undefined;
  readonly take: (stored: Stored) => void;
  /** It leaves itself: whoever asks should ask another. */
  readonly isStopping: () => boolean;
  readonly messageBytesMax: number;
  readonly taken: (envelope: Envelope, from: string) => void;
};

export type Receiver = { readonly port: number; close(): Promise<void> };

export const handoverPath = "/messages";
const connectionsMax = 64;
const requestMsMax = 60_000;
/** Whoever connects and does not know the key is not here for long. */
const handshakeMsMax = 5000;
/** Of all messages that are being taken: one more may come where there is none. */
const receivingBytesMax = 64 * 1024 * 1024;
/** Envelope and state beside the body. */
const recordBytesMax = 16 * 1024 * 1024;
/** Messages that came and may have gone on already: whose answer was lost asks again. */
const recentMax = 50_000;

/** Rejects with the listening error. */
export async function startReceiver(options: ReceiverOptions): Promise<Receiver> {
  const recent = new Map<string, number>();
  const arriving = new Map<string, Promise<number>>();
  const receiving = { bytes: 0 };
  const settings = { ...serverTls(options.key), handshakeTimeout: handshakeMsMax };
  const server = createServer(settings, (request, response) => {
    receive(options, { request, response, recent, arriving, receiving }).catch(() =>
      answer(response, 500),
    );
  });
  server.maxConnections = connectionsMax;
  server.requestTimeout = requestMsMax;
  server.on("tlsClientError", () => undefined); // without the key: nobody of ours
  await listenOn(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async close() {
      server.closeIdleConnections();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      setTimeout(() => server.closeAllConnections(), 1000).unref();
      await closed;
    },
  };
}

type Exchange = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly recent: Map<string, number>;
  /** By id: messages that are on their way to disk. */
  readonly arriving: Map<string, Promise<number>>;
  /** In memory. */
  readonly receiving: { bytes: number };
};

async function receive(options: ReceiverOptions, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  if (request.method !== "POST" || request.url !== handoverPath) return answer(response, 404);
  if (options.isStopping()) return answer(response, 503);
  const bytes = Number(request.headers["content-length"]);
  if (!(bytes <= options.messageBytesMax + recordBytesMax)) return answer(response, 413);
  if (!options.spool.hasRoom(bytes)) return answer(response, 507);
  const { receiving } = exchange;
  if (receiving.bytes > 0 && receiving.bytes + bytes > receivingBytesMax)
    return answer(response, 503);
  receiving.bytes += bytes;
  try {
    const framed = decodeFrame(await received(request, bytes));
    answer(response, framed === undefined ? 400 : await storeOnce(options, framed, exchange));
  } finally {
    receiving.bytes -= bytes;
  }
}

/** What was announced and no more: the rest of a longer one makes it damaged. */
async function received(request: IncomingMessage, bytes: number): Promise<Buffer> {
  const frame = Buffer.allocUnsafe(bytes);
  let length = 0;
  for await (const chunk of request) length += (chunk as Buffer).copy(frame, length);
  return frame.subarray(0, length);
}

/** Who asks again while the message is on its way to disk waits for that. */
async function storeOnce(
  options: ReceiverOptions,
  framed: Framed,
  exchange: Exchange,
): Promise<number> {
  const { arriving } = exchange;
  const { id } = framed.envelope;
  // Where that one failed, several may have waited for it: the first of them is the next to be waited for.
  for (let before = arriving.get(id); before !== undefined; before = arriving.get(id)) await before;
  const storing = store(options, framed, exchange);
  arriving.set(id, storing);
  try {
    return await storing;
  } finally {
    arriving.delete(id);
  }
}

/** The status that says what became of it. */
async function store(
  { spool, find, take, taken }: ReceiverOptions,
  { envelope, state, body }: Framed,
  { recent, request }: Exchange,
): Promise<number> {
  const known = find(envelope.id);
  const crc = known?.crc ?? recent.get(envelope.id);
  if (crc !== undefined) return crc === envelope.crc ? 200 : 409;
  const changes: Change[] = [
    { kind: "accept", envelope, body },
    { kind: "update", id: envelope.id, state },
  ];
  try {
    await spool.commit(changes);
  } catch {
    return 507;
  }
  const [oldest] = recent.keys();
  if (recent.size >= recentMax && oldest !== undefined) recent.delete(oldest);
  recent.set(envelope.id, envelope.crc);
  take({ envelope, state });
  taken(envelope, request.socket.remoteAddress ?? "");
  return 200;
}

function answer(response: ServerResponse, status: number): void {
  response.writeHead(status, { "content-length": 0 });
  response.end();
}
