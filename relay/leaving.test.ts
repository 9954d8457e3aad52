/** When a relay's queue goes to the others as it stops: against a real HTTP API server and real spools. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { ApiServer } from "../kube/api-server.testkit.ts";
import { checkConfig } from "./config/config.ts";
import type { RelayState } from "./facts.ts";
import { readKey } from "./handover/key.ts";
import { startReceiver } from "./handover/receiver.ts";
import { handOverAtTheEnd } from "./leaving.ts";
import { createLog } from "./observe/log.ts";
import { ProblemBoard } from "./observe/problem-board.ts";
import { freshEntry } from "./queue/entry.ts";
import { onDisk } from "./spool/message.testkit.ts";
import { checksum, type Envelope, freshState } from "./spool/records.ts";
import { Spool } from "./spool/spool.ts";

const statefulSetPath = "/apis/apps/v1/namespaces/mail/statefulsets/mailroute-relay";
const limits = { bytesMax: 1e9, messagesMax: 1e6, freeBytesMin: 0 };
const body = Buffer.from("Subject: hello\r\n\r\nbody\r\n");
const envelope: Envelope = {
  id: "m1",
  session: "s",
  client: "192.0.2.1",
  trusted: true,
  sender: "me@sender.test",
  recipients: [{ address: "a@a.test", key: "suffix:a.test", expiresAtMs: 9e12, warnAtMs: 9e12 }],
  arrivedAtMs: 1000,
  bytes: body.length,
  crc: checksum(body),
  eightBit: false,
  smtputf8: false,
};

async function spoolOf(context: TestContext): Promise<Spool> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-leaving-"));
  const spool = await Spool.open({ directory, owner: "t", limits });
  context.after(async () => {
    await spool.close();
    rmSync(directory, { recursive: true });
  });
  return spool;
}

/** Stops the relay `owner` with a message in its queue; whether that is now at the other. */
async function goesOver(
  context: TestContext,
  owner: string,
  statefulSet: object | undefined,
): Promise<{ readonly goes: boolean; readonly log: string }> {
  const server = await ApiServer.start();
  context.after(() => server.close());
  if (statefulSet !== undefined) server.set(statefulSetPath, statefulSet);
  const keyFile = join(mkdtempSync(join(tmpdir(), "mailroute-key-")), "key");
  writeFileSync(keyFile, "a key of more than thirty-two characters\n");
  const other = await spoolOf(context);
  const receiver = await startReceiver({
    host: "127.0.0.9",
    port: 0,
    key: await readKey(keyFile),
    spool: other,
    find: () => undefined,
    take: () => undefined,
    isStopping: () => false,
    messageBytesMax: 1e6,
    taken: () => undefined,
  });
  context.after(() => receiver.close());
  const parsed = checkConfig({
    hostname: "relay.test",
    routes: { installation: { name: "mailroute", namespace: "mail" } },
    spool: { directory: "/nowhere", owner },
    listeners: [{ name: "smtp", port: 2525 }],
    handover: {
      keyFile,
      siblings: "127.0.0.9",
      port: receiver.port,
      statefulSet: "mailroute-relay",
      timeMsMax: 5000,
    },
  });
  assert.ok(parsed.ok);
  const spool = await spoolOf(context);
  await spool.commit([{ kind: "accept", envelope, body }]);
  const entries = [freshEntry(envelope, freshState(envelope))];
  let log = "";
  const logging = createLog({
    write(text) {
      log += text;
    },
    now: Date.now,
    addresses: "full",
  });
  const state: RelayState = {
    queue: { entries: () => entries.values() } as unknown as RelayState["queue"],
    orders: undefined,
    listeners: [],
    own: [],
    problems: new ProblemBoard(logging),
    keys: 0,
    stopping: true,
    graceMs: 0,
  };
  const closers = new AsyncDisposableStack();
  const clusterApi = async () => server.api as never;
  handOverAtTheEnd({ options: parsed, spool, state, log: logging, closers, clusterApi });
  await closers.disposeAsync();
  const there = (await onDisk(other)).length;
  const here = (await onDisk(spool)).length;
  assert.equal(there + here, 1);
  return { goes: there === 1, log };
}

const rows = [
  { owner: "mailroute-relay-2", spec: { replicas: 2 }, goes: true },
  { owner: "mailroute-relay-1", spec: { replicas: 2 }, goes: false },
  { owner: "mailroute-relay-0", spec: { replicas: 0 }, goes: true },
  { owner: "mailroute-relay-0", spec: {}, goes: false },
  { owner: "mailroute-relay-5", spec: { replicas: 2, ordinals: { start: 5 } }, goes: false },
  { owner: "mailroute-relay-7", spec: { replicas: 2, ordinals: { start: 5 } }, goes: true },
  { owner: "a-name-of-its-own", spec: { replicas: 0 }, goes: false },
] as const;
for (const { owner, spec, goes } of rows) {
  test(`leaving: ${owner} of ${JSON.stringify(spec)} ${goes ? "hands its queue over" : "keeps its queue"}`, async (context) => {
    assert.equal((await goesOver(context, owner, { spec })).goes, goes);
  });
}

test("leaving: where nobody knows the StatefulSet, the queue stays and it is said why", async (context) => {
  const { goes, log } = await goesOver(context, "mailroute-relay-2", undefined);
  assert.equal(goes, false);
  assert.match(log, /"where":"handover","text":"reading the StatefulSet answered 404"/);
});
