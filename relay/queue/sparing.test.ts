/** Mail for a destination where nobody is: one message is tried for all of them, and all go when it lives again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../outcome.ts";
import { onDisk } from "../spool/message.testkit.ts";
import { active, toHost } from "../table/table.testkit.ts";
import { bench, later, no, ok, routes } from "./queue.testkit.ts";

const nobody: Outcome = { ...later, isUnmet: true } as Outcome;
const hourly = { initial: "1h", max: "1h" };

/** A queue whose only destination answers with `is.now`, the first time not before `open`. */
async function dead(context: Parameters<typeof bench>[0], retry?: object) {
  const is: { now: Outcome } = { now: nobody };
  const gate = Promise.withResolvers<void>();
  const site = await bench(context, async (job) => {
    if (job.route.id !== "mail/a") return ok("other");
    await gate.promise;
    return is.now;
  });
  if (retry !== undefined) site.tables.activate(active({ ...routes, a: { ...routes.a, retry } }));
  const ofA = (): number => site.jobs.filter(({ route }) => route.id === "mail/a").length;
  const isTold = (): boolean =>
    [...site.queue.entries()].every(({ pending, underWay }) =>
      pending.every((each) => underWay === 0 && each?.last !== ""),
    );
  return { ...site, is, open: gate.resolve, ofA, isTold };
}

test("sparing: one message is tried for all, those that are spared count no attempt, and all go when it lives", async (context) => {
  const { accept, until, queue, ofA, is, open, isTold } = await dead(context);
  for (let count = 0; count < 5; count++) await accept([`${count}@a.test`]);
  open();
  await until(isTold);
  const attempts = [...queue.entries()].map(({ pending }) => pending[0]?.attempts);
  assert.deepEqual([ofA(), attempts], [1, [1, 0, 0, 0, 0]]);
  is.now = ok("a");
  await until(() => queue.size === 0);
  assert.equal(ofA(), 6);
});

test("sparing: a login that is refused is tried once for all, not once for each message", async (context) => {
  const { accept, until, queue, ofA, is, open, isTold } = await dead(context, hourly);
  const reply = { code: 535, status: "5.7.8", text: "wrong password" };
  is.now = { kind: "deferred", cause: "auth", reply, isUnmet: true };
  for (let count = 0; count < 20; count++) await accept([`${count}@a.test`]);
  open();
  await until(isTold);
  assert.equal(ofA(), 1);
  assert.equal([...queue.entries()].at(-1)?.pending[0]?.last, "535 5.7.8 wrong password");
});

test("sparing: what is spared shows why, writes nothing, and wakes no recipients of others", async (context) => {
  const { accept, until, queue, spool, jobs, open, isTold, is } = await dead(context, hourly);
  await accept(["0@a.test"]);
  await accept(["1@a.test", "late@b.test"]);
  open();
  await until(() => jobs.length === 2 && isTold());
  const [first, second] = queue.entries();
  assert.match(second?.pending[0]?.last ?? "", /451 4\.4\.1 refused/);
  const stored = await onDisk(spool);
  assert.deepEqual(
    stored.map(({ state }) => state.recipients.map((each) => each?.attempts)),
    [[1], [0, undefined]],
  );
  is.now = ok("a");
  await queue.order(first?.envelope.id ?? "", (entry) => {
    entry.pending[0] = { attempts: 1, dueAtMs: 0, warned: false, last: "" };
  });
  await until(() => queue.size === 0);
  assert.equal(jobs.filter(({ route }) => route.id === "mail/b").length, 1);
});

test("sparing: a person's retry is tried at once, although its destination rests", async (context) => {
  const { accept, until, queue, ofA, open, isTold, is } = await dead(context, hourly);
  for (let count = 0; count < 3; count++) await accept([`${count}@a.test`]);
  open();
  await until(isTold);
  is.now = ok("a");
  const [, second] = queue.entries();
  await queue.order(second?.envelope.id ?? "", (entry) => {
    entry.pending[0] = { attempts: 0, dueAtMs: 0, warned: false, last: "" };
  });
  await until(() => queue.size === 0);
  assert.equal(ofA(), 4, "and the others go with it");
});

test("sparing: a route that now names another host is tried at once", async (context) => {
  const { accept, until, queue, tables, ofA, open, isTold, is } = await dead(context, hourly);
  for (let count = 0; count < 3; count++) await accept([`${count}@a.test`]);
  open();
  await until(isTold);
  is.now = ok("a");
  tables.activate(
    active({ ...routes, a: { ...routes.a, retry: hourly, target: toHost("a2.test") } }),
  );
  await until(() => queue.size === 0);
  assert.equal(ofA(), 4);
});

test("sparing: what has expired fails when it is spared, and its sender is told", async (context) => {
  const { accept, until, told, open } = await dead(context, hourly);
  await accept(["0@a.test"]);
  const recipient = { address: "old@a.test", key: "suffix:a.test", warnAtMs: 0, expiresAtMs: 0 };
  await accept(["old@a.test"], { recipients: [recipient] });
  open();
  await until(() => told.includes("reported to me@sender.test"));
  assert.ok(told.includes("bounce old@a.test"));
});

test("sparing: a host that breaks off in the middle of one message, or refuses it, spares no other", async (context) => {
  const { accept, until, queue, ofA, is, open } = await dead(context, hourly);
  is.now = later; // somebody was there
  for (let count = 0; count < 3; count++) await accept([`${count}@a.test`], { sender: "" });
  open();
  await until(() => ofA() === 3 && queue.active === 0);
  is.now = no;
  await accept(["3@a.test"], { sender: "" });
  await until(() => ofA() === 4);
});
