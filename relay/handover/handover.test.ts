/** Hand-over between real spools over real TLS on loopback: what goes over, what stays, and who is let in. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Change } from "../spool/changes.ts";
import { onDisk } from "../spool/message.testkit.ts";
import { checksum, type Envelope, freshState, type State } from "../spool/records.ts";
import { Spool, type Stored } from "../spool/spool.ts";
import { decodeFrame, encodeFrame } from "./frame.ts";
import { clientTls, serverTls } from "./key.ts";
import { handoverPath, startReceiver } from "./receiver.ts";
import { handOver } from "./sender.ts";

const key = Buffer.alloc(32, 7);
const otherKey = Buffer.alloc(32, 8);
const limits = { bytesMax: 1e9, messagesMax: 1e6, freeBytesMin: 0 };
const timeMsMax = 20_000;

async function spoolOf(context: TestContext, more: Partial<typeof limits> = {}): Promise<Spool> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-handover-"));
  const spool = await Spool.open({ directory, owner: "t", limits: { ...limits, ...more } });
  context.after(async () => {
    await spool.close();
    rmSync(directory, { recursive: true });
  });
  return spool;
}

const bodyOf = (id: string): Buffer => Buffer.from(`Subject: ${id}\r\n\r\n${id.repeat(50)}\r\n`);

function stored(id: string, more: Partial<State> = {}): Stored {
  const body = bodyOf(id);
  const recipient = { key: "suffix:a.test", expiresAtMs: 9e12, warnAtMs: 9e12 };
  const envelope: Envelope = {
    id,
    session: "s",
    client: "192.0.2.1",
    trusted: true,
    sender: "me@sender.test",
    recipients: [
      { ...recipient, address: "one@a.test", notify: ["FAILURE"], orcpt: "rfc822;one@a.test" },
      { ...recipient, address: "two@a.test" },
    ],
    arrivedAtMs: 1000,
    bytes: body.length,
    crc: checksum(body),
    eightBit: false,
    smtputf8: false,
    envid: "E1",
  };
  return { envelope, state: { ...freshState(envelope), ...more } };
}

async function filled(context: TestContext, list: readonly Stored[]): Promise<Spool> {
  const spool = await spoolOf(context);
  const changes = list.flatMap(({ envelope, state }): Change[] => [
    { kind: "accept", envelope, body: bodyOf(envelope.id) },
    { kind: "update", id: envelope.id, state },
  ]);
  await spool.commit(changes);
  return spool;
}

async function receiverOf(
  context: TestContext,
  spool: Spool,
  more: { host?: string; port?: number; isStopping?: () => boolean } = {},
) {
  const taken: Stored[] = [];
  const receiver = await startReceiver({
    host: "127.0.0.1",
    port: 0,
    key,
    spool,
    find: (id) => taken.find(({ envelope }) => envelope.id === id)?.envelope,
    take: (each) => taken.push(each),
    isStopping: () => false,
    messageBytesMax: 1e6,
    taken: () => undefined,
    ...more,
  });
  context.after(() => receiver.close());
  return { taken, port: receiver.port };
}

async function giveAll(
  spool: Spool,
  to: {
    port: number;
    siblings?: readonly string[];
    key?: Buffer;
    msMax?: number;
    goneMsMin?: number;
  },
) {
  return await handOver({
    key: to.key ?? key,
    messages: await onDisk(spool),
    async body(envelope) {
      const body = await spool.body(envelope);
      return typeof body === "string" ? undefined : body;
    },
    siblings: async () => to.siblings ?? ["127.0.0.1"],
    port: to.port,
    ...(to.goneMsMin !== undefined && { goneMsMin: to.goneMsMin }),
    given: async (envelope) => await spool.commit([{ kind: "remove", envelope }]),
    signal: AbortSignal.timeout(to.msMax ?? timeMsMax),
  });
}

test("handover: every message is on the other's disk with all that is known of it, and gone here", async (context) => {
  const held = { sinceMs: 5, why: "by order" };
  const tried = {
    attempts: 3,
    dueAtMs: 7e12,
    warned: true,
    last: "450 4.2.1 later",
    key: "suffix:.",
  };
  const list = [
    stored("m1"),
    stored("m2", { held, deaths: 2 }),
    stored("m3", { recipients: [null, tried] }),
    ...Array.from({ length: 40 }, (_, index) => stored(`n${index}`)),
  ];
  const from = await filled(context, list);
  const to = await spoolOf(context);
  const { taken, port } = await receiverOf(context, to);
  assert.deepEqual(await giveAll(from, { port }), { given: 43, left: 0 });
  const byId = (a: Stored, b: Stored): number => (a.envelope.id < b.envelope.id ? -1 : 1);
  const expected = list.toSorted(byId);
  assert.deepEqual((await onDisk(to)).toSorted(byId), expected);
  assert.deepEqual(taken.toSorted(byId), expected);
  assert.deepEqual(await onDisk(from), []);
  for (const { envelope } of expected)
    assert.equal((await to.body(envelope)).toString(), bodyOf(envelope.id).toString());
});

test("handover: who does not know the key gets nothing, and nobody gets his messages", async (context) => {
  const from = await filled(context, [stored("m1")]);
  const to = await spoolOf(context);
  const { port } = await receiverOf(context, to);
  assert.deepEqual(await giveAll(from, { port, key: otherKey, msMax: 700 }), { given: 0, left: 1 });
  assert.deepEqual([(await onDisk(from)).length, (await onDisk(to)).length], [1, 0]);
});

test("handover: a relay that leaves or is full takes nothing; the next one does", async (context) => {
  const from = await filled(context, [stored("m1"), stored("m2")]);
  const leaving = await spoolOf(context);
  const { port } = await receiverOf(context, leaving, { isStopping: () => true });
  const full = await spoolOf(context, { messagesMax: 0 });
  await receiverOf(context, full, { host: "127.0.0.2", port });
  const to = await spoolOf(context);
  await receiverOf(context, to, { host: "127.0.0.3", port });
  const siblings = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
  assert.deepEqual(await giveAll(from, { port, siblings }), { given: 2, left: 0 });
  assert.deepEqual(
    [
      (await onDisk(leaving)).length,
      (await onDisk(full)).length,
      (await onDisk(to)).length,
      (await onDisk(from)).length,
    ],
    [0, 0, 2, 0],
  );
});

test("handover: with nobody there everything stays, and it ends in time", async (context) => {
  const from = await filled(context, [stored("m1"), stored("m2")]);
  assert.deepEqual(await giveAll(from, { port: 9, siblings: [], msMax: 300 }), {
    given: 0,
    left: 2,
  });
  assert.equal((await onDisk(from)).length, 2);
});

/** The status that a frame is answered with. */
async function posted(port: number, frame: Buffer): Promise<number | undefined> {
  return await new Promise((resolve, reject) => {
    const asked = request(
      { ...clientTls(key), host: "127.0.0.1", port, method: "POST", path: handoverPath },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    );
    asked.once("error", reject);
    asked.setHeader("content-length", frame.length);
    asked.end(frame);
  });
}

test("handover: whose answer was lost may ask again; another message of the same id is refused", async (context) => {
  const to = await spoolOf(context);
  const { taken, port } = await receiverOf(context, to);
  const first = { ...stored("m1"), body: bodyOf("m1") };
  assert.equal(await posted(port, encodeFrame(first)), 200);
  assert.equal(await posted(port, encodeFrame(first)), 200);
  taken.pop(); // it has gone on to its next hop meanwhile
  assert.equal(await posted(port, encodeFrame(first)), 200);
  assert.equal(taken.length, 0, "and is not taken again");
  const body = Buffer.from("another");
  const envelope = { ...first.envelope, bytes: body.length, crc: checksum(body) };
  assert.equal(await posted(port, encodeFrame({ ...first, envelope, body })), 409);
});

/** A relay that takes the first message whole and never answers: its process ends with `ends`. */
async function dyingReceiver(
  context: TestContext,
  options: { readonly host: string; readonly ends: () => void },
) {
  let asked = 0;
  const server = createServer(serverTls(key), (incoming) => {
    asked += 1;
    incoming.resume().once("end", () => {
      incoming.socket.destroy();
      options.ends();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, options.host, resolve));
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  context.after(stop);
  return { port, stop, asked: () => asked };
}

test("handover: a sibling whose answer was lost is asked again when it is back, and no other gets the message", async (context) => {
  const from = await filled(context, [stored("m1")]);
  const back = await spoolOf(context);
  const other = await spoolOf(context);
  const restart = async (): Promise<void> => {
    await dying.stop();
    await receiverOf(context, back, { port: dying.port });
  };
  const dying = await dyingReceiver(context, { host: "127.0.0.1", ends: () => void restart() });
  await receiverOf(context, other, { host: "127.0.0.2", port: dying.port });
  const siblings = ["127.0.0.1", "127.0.0.2"];
  const { given } = await giveAll(from, { port: dying.port, siblings });
  assert.equal(given, 1);
  assert.equal(dying.asked(), 1);
  assert.deepEqual([(await onDisk(back)).length, (await onDisk(other)).length], [1, 0]);
});

test("handover: where a sibling whose answer was lost does not come back, another gets the message", async (context) => {
  const from = await filled(context, [stored("m1")]);
  const other = await spoolOf(context);
  const siblings = ["127.0.0.1", "127.0.0.2"];
  const vanish = (): void => {
    siblings.shift();
    void dying.stop();
  };
  const dying = await dyingReceiver(context, { host: "127.0.0.1", ends: vanish });
  await receiverOf(context, other, { host: "127.0.0.2", port: dying.port });
  const to = { port: dying.port, siblings, goneMsMin: 1500 };
  assert.deepEqual(await giveAll(from, to), { given: 1, left: 0 });
  assert.equal(dying.asked(), 1);
  assert.equal((await onDisk(other)).length, 1);
});

test("handover: one that comes twice at once is taken once", async (context) => {
  const to = await spoolOf(context);
  const { taken, port } = await receiverOf(context, to);
  const frame = encodeFrame({ ...stored("m1"), body: bodyOf("m1") });
  const answers = await Promise.all([1, 2, 3].map(async () => await posted(port, frame)));
  assert.deepEqual(answers, [200, 200, 200]);
  assert.equal(taken.length, 1);
});

test("handover: a frame that says less than it is does not pass", async (context) => {
  const to = await spoolOf(context);
  const { port } = await receiverOf(context, to);
  const frame = encodeFrame({ ...stored("m1"), body: bodyOf("m1") });
  assert.equal(decodeFrame(frame.subarray(0, frame.length - 1)), undefined);
  assert.equal(await posted(port, frame.subarray(0, frame.length - 1)), 400);
});

test("handover: a spool that was retired is no relay's any more, unless it is reinstated", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-retired-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const options = { directory, owner: "t", limits };
  const first = await Spool.open(options);
  await first.retire();
  await first.close();
  await assert.rejects(Spool.open(options), /has been drained, and its volume is being deleted/);
  const drain = await Spool.open({ ...options, isDrain: true });
  await drain.reinstate();
  await drain.close();
  await (await Spool.open(options)).close();
});

test("handover: what was damaged on its way is refused and not stored", async (context) => {
  const to = await spoolOf(context);
  const { port } = await receiverOf(context, to);
  const frame = encodeFrame({ ...stored("m1"), body: bodyOf("m1") });
  for (const at of [0, 3, 10, frame.length - 1]) {
    const damaged = Buffer.from(frame);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    assert.equal(decodeFrame(damaged), undefined);
    assert.equal(await posted(port, damaged), 400);
  }
  assert.equal(await posted(port, frame.subarray(0, 50)), 400);
  assert.equal((await onDisk(to)).length, 0);
});
