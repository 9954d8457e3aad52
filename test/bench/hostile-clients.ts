/**
 * Clients as a relay meets them at its worst: idle, dripping, flooding, guessing passwords. Each kind keeps so
 * many connections busy until it is stopped, and takes up again where the relay hangs up. From addresses of
 * their own, so that limits by client are met as in life.
 */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as tlsConnect } from "node:tls";

export type Hostile = { stop(): Promise<void>; readonly connected: () => number };

export type Crowd = {
  readonly port: number;
  readonly clients: number;
  readonly localAddress: string;
};

/** What one connection does once it has been greeted; resolves when it is over. */
type Habit = (socket: Socket, isStopped: () => boolean) => Promise<void>;

/** Between two connections of one client, so that a relay that refuses is not the generator's whole work. */
const againMs = 250;
const dripMs = 1000;
const floodCommands = 50;

/** Connects and says nothing. */
export const startIdle = (crowd: Crowd): Hostile =>
  start(crowd, async (socket) => await closed(socket));

/** A message of a byte a second. */
export const startDripping = (crowd: Crowd): Hostile =>
  start(crowd, async (socket, isStopped) => {
    socket.write("EHLO drip.test\r\n");
    await answered(socket, /^250 /m);
    socket.write("MAIL FROM:<a@drip.test>\r\nRCPT TO:<b@open.test>\r\nDATA\r\n");
    await answered(socket, /^354 /m);
    while (!isStopped() && !socket.destroyed) {
      socket.write("x");
      await Promise.race([sleep(dripMs), closed(socket)]);
    }
  });

/** Commands as fast as they are answered. */
export const startFlooding = (crowd: Crowd): Hostile =>
  start(crowd, async (socket, isStopped) => {
    const burst = "NOOP\r\nRSET\r\nVRFY x\r\nRCPT TO:<x@x>\r\n".repeat(floodCommands);
    while (!isStopped() && !socket.destroyed) {
      if (!socket.write(burst)) await Promise.race([drained(socket), closed(socket)]);
      await sleep(1);
    }
  });

/** Wrong passwords over TLS, one after the other. */
export const startGuessing = (crowd: Crowd): Hostile =>
  start(crowd, async (plain, isStopped) => {
    plain.write("EHLO guess.test\r\nSTARTTLS\r\n");
    await answered(plain, /^220 2\.0\.0 /m);
    const socket = tlsConnect({ socket: plain, rejectUnauthorized: false });
    socket.on("error", () => undefined);
    socket.write("EHLO guess.test\r\n");
    await answered(socket, /^250 /m);
    while (!isStopped() && !socket.destroyed) {
      const guess = Buffer.from(`\0admin\0${Math.random()}`).toString("base64");
      socket.write(`AUTH PLAIN ${guess}\r\n`);
      await answered(socket, /^\d{3} /m);
    }
  });

function start({ port, clients, localAddress }: Crowd, habit: Habit): Hostile {
  let stopped = false;
  const sockets = new Set<Socket>();
  const isStopped = (): boolean => stopped;
  const live = async (): Promise<void> => {
    while (!stopped) {
      const socket = connect({ port, host: "127.0.0.1", localAddress });
      sockets.add(socket);
      socket.on("error", () => undefined);
      try {
        await answered(socket, /^220 /m);
        await habit(socket, isStopped);
      } catch {
        // Hung up: that is what the relay is for.
      }
      socket.destroy();
      sockets.delete(socket);
      if (!stopped) await sleep(againMs);
    }
  };
  const all = Array.from({ length: clients }, live);
  return {
    connected: () => sockets.size,
    async stop() {
      stopped = true;
      for (const socket of sockets) socket.destroy();
      await Promise.all(all);
    },
  };
}

/** Rejects where the other side closes first. */
async function answered(socket: Socket, line: RegExp): Promise<void> {
  let text = "";
  await new Promise<void>((resolve, reject) => {
    const take = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      if (!line.test(text)) return;
      socket.off("data", take);
      socket.off("close", reject);
      resolve();
    };
    socket.on("data", take);
    socket.once("close", reject);
    if (socket.destroyed) reject(new Error("closed"));
  });
  socket.resume();
}

const ends = new WeakMap<Socket, Promise<void>>();

/** One promise for each socket, however often it is asked for. */
function closed(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  socket.resume();
  const known =
    ends.get(socket) ?? new Promise<void>((resolve) => socket.once("close", () => resolve()));
  ends.set(socket, known);
  return known;
}

async function drained(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => socket.once("drain", () => resolve()));
}
