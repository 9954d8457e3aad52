/** A queue with a real spool and a delivery that answers as told, for tests. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { outboundRoute } from "../config/outbound.ts";
import type { Delivery, Job } from "../delivery/delivery.ts";
import type { Outcome } from "../outcome.ts";
import { createIds } from "../reception/ids.ts";
import { checksum, type Envelope } from "../spool/records.ts";
import { Spool } from "../spool/spool.ts";
import { TableHolder } from "../table/holder.ts";
import { active, toHost } from "../table/table.testkit.ts";
import type { QueueEvents } from "./events.ts";
import { Queue } from "./queue.ts";
import { createReporter } from "./reports.ts";

const retry = { initialMs: 40, maxMs: 40, expireAfterMs: 60_000, delayWarningAfterMs: 60_000 };
const outbound = outboundRoute({
  outbound: { tls: "Disabled", port: 25, mtaSts: false, deniedNetworks: [] },
  retry,
});
const shortRetry = { initial: "1s", max: "1s" };
export const routes = {
  a: { suffixes: ["a.test"], target: toHost("a1.test"), retry: shortRetry },
  b: { suffixes: ["b.test"], target: toHost("b1.test"), retry: shortRetry },
  sender: { suffixes: ["sender.test"], target: toHost("s1.test") },
};
export const ok = (hop: string): Outcome => ({
  kind: "delivered",
  hop,
  reply: { code: 250, status: "2.0.0", text: "ok" },
});
export const no: Outcome = {
  kind: "failed",
  reply: { code: 550, status: "5.1.1", text: "no such user" },
};
export const later: Outcome = {
  kind: "deferred",
  cause: "connect",
  reply: { code: 451, status: "4.4.1", text: "refused" },
};

type Answer = (job: Job, recipient: string) => Outcome | Promise<Outcome>;

/** Everything that a queue needs, real but for the next hops. */
export async function bench(
  context: TestContext,
  answer: Answer,
  more: { bodyBytesInMemoryMax?: number } = {},
) {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-queue-"));
  const spool = await Spool.open({
    directory,
    owner: "t",
    limits: { bytesMax: 1e9, messagesMax: 1e6, freeBytesMin: 0 },
  });
  const tables = new TableHolder();
  tables.activate(active(routes));
  const jobs: Job[] = [];
  const told: string[] = [];
  const logged: string[] = [];
  const delivery: Delivery = {
    async deliver(job) {
      jobs.push(job);
      return await Promise.all(job.recipients.map(async (each) => await answer(job, each)));
    },
    async close() {},
  };
  const events: QueueEvents = {
    attempted({ recipient, step, outcome }) {
      told.push(`${step.kind} ${recipient.address}`);
      logged.push(outcome.reply.text);
    },
    reported: (dsn) => void told.push(`reported to ${dsn.recipients[0]?.address}`),
    unreported: (_, why) => void told.push(`unreported: ${why}`),
    unsaved: () => void told.push("unsaved"),
    corrupt: () => void told.push("corrupt"),
    held: (_, why) => void told.push(`held: ${why}`),
  };
  const clock = {
    now: () => Date.now(),
    wait(ms: number, callback: () => void) {
      const timer = setTimeout(callback, ms);
      return () => clearTimeout(timer);
    },
  };
  const nextId = createIds({ now: clock.now, random: Math.random });
  const reporter = createReporter({
    hostname: "relay.test",
    postmaster: "postmaster@relay.test",
    outbound,
    nextId,
    now: clock.now,
    unreported: events.unreported,
  });
  const limits = {
    activeMax: 100,
    activePerDestinationMax: 10,
    silentMax: 10,
    bodyBytesInMemoryMax: 1000,
    ...more,
  };
  const queue = new Queue({
    spool,
    deliveries: { begin: () => ({ phase: () => undefined, ended: () => undefined }) },
    tables,
    delivery,
    reporter,
    events,
    clock,
    random: () => 0,
    outbound,
    postmaster: "postmaster@relay.test",
    limits,
  });
  context.after(async () => {
    await queue.stop({ graceMs: 0 });
    await spool.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const accept = accepting({ spool, queue, nextId });
  const until = async (condition: () => boolean): Promise<void> => {
    for (const endMs = Date.now() + 5000; !condition(); ) {
      if (Date.now() > endMs) assert.fail(`not in time: ${told.join(", ")}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  return { queue, spool, tables, jobs, told, logged, accept, until, clock };
}

/** Spools a message for these recipients and adds it to the queue. */
function accepting(site: {
  readonly spool: Spool;
  readonly queue: Queue;
  readonly nextId: () => string;
}) {
  const { spool, queue, nextId } = site;
  return async (
    to: readonly string[],
    more: Partial<Envelope> = {},
    body = Buffer.from("Subject: hello\r\n\r\nbody\r\n"),
  ): Promise<Envelope> => {
    const recipients = to.map((address) => ({
      address,
      key: `suffix:${address.split("@")[1]}`,
      expiresAtMs: Date.now() + 60_000,
      warnAtMs: Date.now() + 60_000,
    }));
    const envelope = {
      id: nextId(),
      session: "s",
      client: "192.0.2.1",
      trusted: true,
      sender: "me@sender.test",
      recipients,
      arrivedAtMs: Date.now(),
      bytes: body.length,
      crc: checksum(body),
      eightBit: false,
      smtputf8: false,
      ...more,
    };
    await spool.commit([{ kind: "accept", envelope, body }]);
    queue.add(envelope, body);
    return envelope;
  };
}
