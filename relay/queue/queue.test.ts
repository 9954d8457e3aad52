/** The queue with a real spool and a delivery that answers as told: fates, reports, reloads, failing disks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../outcome.ts";
import { message, onDisk } from "../spool/message.testkit.ts";
import { freshState } from "../spool/records.ts";
import { SpoolError } from "../spool/spool-error.ts";
import { active, toHost } from "../table/table.testkit.ts";
import { bench, later, no, ok, routes } from "./queue.testkit.ts";

test("queue: one transaction for each next hop, with exactly its recipients", async (context) => {
  const { accept, until, jobs, queue, spool } = await bench(context, (job) => ok(job.route.id));
  await accept(["1@a.test", "1@b.test", "2@a.test"]);
  await until(() => queue.size === 0);
  const byRoute = jobs.map(({ route, recipients }) => [route.id, [...recipients]] as const).sort();
  assert.deepEqual(byRoute, [
    ["mail/a", ["1@a.test", "2@a.test"]],
    ["mail/b", ["1@b.test"]],
  ]);
  await until(() => spool.messages === 0);
});

test("queue: each recipient has its own fate, and the failed one's report is a message like any other", async (context) => {
  const { accept, until, jobs, told, queue } = await bench(context, (_, to) =>
    to === "bad@a.test" ? no : ok("h"),
  );
  await accept(["good@a.test", "bad@a.test"]);
  await until(() => queue.size === 0 && jobs.length === 2);
  assert.deepEqual(told, [
    "finished good@a.test",
    "bounce bad@a.test",
    "reported to me@sender.test",
    "finished me@sender.test",
  ]);
  const dsn = Buffer.from(jobs[1]?.body ?? []).toString();
  assert.equal(jobs[1]?.sender, "");
  assert.match(dsn, /^Final-Recipient: rfc822; ?bad@a\.test\r$/m);
  assert.match(dsn, /^Status: 5\.1\.1\r$/m);
});

test("queue: a failure of mail from <> is told to nobody", async (context) => {
  const { accept, until, told, queue } = await bench(context, () => no);
  await accept(["bad@a.test"], { sender: "" });
  await until(() => queue.size === 0);
  assert.deepEqual(told, ["bounce bad@a.test", "unreported: the sender is <>"]);
});

test("queue: what only we can mend is told to the log, and to the sender only that it is ours", async (context) => {
  const text = "version 7 of Secret mail/vault is not here";
  const reply = { code: 451, status: "4.3.5", text };
  const { accept, until, jobs, logged } = await bench(context, (job) =>
    job.sender === ""
      ? ok("h")
      : { kind: "deferred", cause: "credentials", reply, hop: "vault.test:25" },
  );
  const due = (address: string, key: string, expiresAtMs: number) => ({
    recipients: [{ address, key, expiresAtMs, warnAtMs: 0 }],
  });
  await accept(["late@a.test"], due("late@a.test", "suffix:a.test", Date.now() + 60_000));
  await accept(["gone@b.test"], due("gone@b.test", "suffix:b.test", 0));
  const reports = () => jobs.filter(({ sender }) => sender === "");
  await until(() => reports().length === 2);
  for (const [index, about] of ["late@a.test", "gone@b.test"].entries()) {
    const dsn = Buffer.from(reports()[index]?.body ?? []).toString();
    assert.match(dsn, new RegExp(`^Final-Recipient: rfc822; ?${about}\r$`, "m"));
    assert.match(dsn, /because of a configuration problem of this relay/);
    assert.match(dsn, /^Diagnostic-Code: x-mailroute;/m);
    assert.doesNotMatch(dsn, /Secret|vault|version 7/);
  }
  assert.deepEqual(logged.slice(0, 2), [text, text]);
});

test("queue: a deferred recipient is tried again, a delivered one never", async (context) => {
  let tries = 0;
  const { accept, until, jobs, queue } = await bench(context, (_, to) =>
    to === "slow@a.test" && ++tries < 2 ? later : ok("h"),
  );
  await accept(["fast@a.test", "slow@a.test"]);
  await until(() => queue.size === 0);
  assert.deepEqual(
    jobs.map(({ recipients }) => [...recipients]),
    [["fast@a.test", "slow@a.test"], ["slow@a.test"]],
  );
});

test("queue: once it has stopped nothing is under way, also what stood in line for a host that is not there", async (context) => {
  const nobody = { ...later, isUnmet: true } as Outcome;
  const { accept, until, queue, jobs } = await bench(context, () => nobody);
  await accept(["1@a.test"]);
  await until(
    () => jobs.length === 1 && [...queue.entries()].every(({ underWay }) => underWay === 0),
  );
  await accept(["2@a.test"]); // its destination rests: it waits in the lane
  assert.deepEqual(
    [...queue.entries()].map(({ underWay }) => underWay > 0),
    [false, true],
  );
  await queue.stop({ graceMs: 0 });
  assert.deepEqual(
    [...queue.entries()].map(({ underWay }) => underWay),
    [0, 0],
  );
});

test("queue: at the start those at which the process died twice are tried after the others", async (context) => {
  const { queue, spool, jobs, until } = await bench(context, () => ok("h"));
  for (const [id, deaths] of [
    ["m1", 2],
    ["m2", 1],
    ["m3", 0],
  ] as const) {
    const { envelope, body } = message(id);
    const recipient = { address: "u@a.test", key: "outbound", expiresAtMs: 9e12, warnAtMs: 9e12 };
    const alive = { ...envelope, recipients: [recipient] };
    await spool.commit([{ kind: "accept", envelope: alive, body }]);
    queue.restore({ envelope: alive, state: { ...freshState(alive), deaths } });
  }
  await queue.resume();
  await until(() => queue.size === 0);
  assert.deepEqual([jobs.length, jobs.at(-1)?.id], [3, "m1"]);
});

test("queue: a due time from when the clock went ahead is tried now", async (context) => {
  const { queue, spool, jobs, until } = await bench(context, () => ok("h"));
  const { envelope, body } = message("m1");
  const recipient = { address: "u@a.test", key: "outbound", expiresAtMs: 9e12, warnAtMs: 9e12 };
  const ahead = { ...envelope, recipients: [recipient], arrivedAtMs: Date.now() + 86_400_000 };
  await spool.commit([{ kind: "accept", envelope: ahead, body }]);
  queue.restore({ envelope: ahead, state: freshState(ahead) });
  await queue.resume();
  await until(() => queue.size === 0);
  assert.equal(jobs.length, 1);
});

test("queue: what a stop leaves on disk says who is finished, and how often the others were tried", async (context) => {
  const { accept, until, spool, jobs, queue } = await bench(context, (_, to) =>
    to === "done@a.test" ? ok("h") : later,
  );
  await accept(["done@a.test", "waits@a.test"]);
  await until(() => jobs.length === 1 && queue.active === 0);
  await queue.stop({ graceMs: 100 });
  const [stored] = await onDisk(spool);
  assert.deepEqual(
    stored?.state.recipients.map((each) => each?.attempts),
    [undefined, 1],
  );
});

test("queue: a reload wakes whose route changed, also while its attempt was under way", async (context) => {
  const gate = Promise.withResolvers<Outcome>();
  let first = true;
  const { accept, until, tables, jobs, queue } = await bench(context, () => {
    if (!first) return ok("h");
    first = false;
    return gate.promise;
  });
  await accept(["u@a.test"]);
  await until(() => jobs.length === 1);
  const longWait = { initial: "1h", max: "1h" };
  tables.activate(
    active({ ...routes, a: { ...routes.a, target: toHost("a2.test"), retry: longWait } }),
  );
  gate.resolve(later);
  await until(() => queue.size === 0);
  const { target } = jobs[1]?.route ?? {};
  assert.equal(target?.kind === "hosts" && target.hosts[0]?.host, "a2.test");
});

test("queue: a reload that changes nothing for a message does not wake it", async (context) => {
  const { accept, until, tables, jobs, queue } = await bench(context, () => later);
  await accept(["u@a.test"]);
  await until(() => jobs.length === 1 && queue.active === 0);
  for (let count = 0; count < 5; count++)
    tables.activate(
      active({
        ...routes,
        [`new${count}`]: { suffixes: [`n${count}.test`], target: toHost("n.test") },
      }),
    );
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(jobs.length, 1);
});

test("queue: when the disk refuses, what was delivered is not delivered again and is written down later", async (context) => {
  const { accept, until, spool, jobs, told, queue, clock } = await bench(context, () => ok("h"));
  const commit = spool.commit.bind(spool);
  const wait = clock.wait;
  let refusals = 3;
  clock.wait = (ms, callback) => wait(ms === 5000 ? 10 : ms, callback);
  spool.commit = async (changes) => {
    if (changes[0]?.kind === "remove" && refusals-- > 0) throw new SpoolError("full");
    await commit(changes);
  };
  await accept(["u@a.test"]);
  await until(() => spool.messages === 0 && queue.size === 0);
  assert.equal(jobs.length, 1);
  assert.deepEqual(told, ["finished u@a.test", "unsaved", "unsaved", "unsaved"]);
});

test("queue: a damaged body costs its own message and no other", async (context) => {
  const { accept, until, spool, told, jobs } = await bench(context, () => ok("h"), {
    bodyBytesInMemoryMax: 0,
  });
  const body = spool.body.bind(spool);
  spool.body = async (envelope) =>
    envelope.sender === "damaged@sender.test" ? "damaged" : await body(envelope);
  await accept(["u@a.test"], { sender: "damaged@sender.test" });
  await accept(["v@b.test"]);
  await until(() => told.includes("finished v@b.test") && told.includes("bounce u@a.test"));
  assert.ok(told.includes("corrupt"));
  assert.equal(jobs.filter(({ sender }) => sender !== "").length, 1);
});

const limited = (more: object = {}) => ({ ...routes, a: { ...routes.a, delivery: more } });

test("queue: a route's mail keeps to its messages a second, and nobody else's waits for it", async (context) => {
  const wentMs: number[] = [];
  const { accept, until, tables, jobs, queue } = await bench(context, (job) => {
    if (job.route.id === "mail/a") wentMs.push(Date.now());
    return ok("h");
  });
  tables.activate(active(limited({ maxMessagesPerSecond: 20 })));
  const startedMs = Date.now();
  for (let count = 0; count < 10; count++) await accept([`${count}@a.test`]);
  await accept(["quick@b.test", "slow@a.test"]);
  await until(() => jobs.some(({ recipients }) => recipients.includes("quick@b.test")));
  assert.ok(wentMs.length < 10);
  await until(() => queue.size === 0);
  assert.equal(wentMs.length, 11);
  // Two are in the bucket from the start; the others come 50 ms after each other.
  assert.ok(
    (wentMs.at(-1) ?? 0) - startedMs >= 9 * 50 - 5,
    `${wentMs.map((ms) => ms - startedMs)}`,
  );
});

test("queue: what a route allows in a second is shared out among the relays", async (context) => {
  const { accept, until, tables, jobs, queue } = await bench(context, () => ok("h"));
  tables.activate(active(limited({ maxMessagesPerSecond: 20 }), { relays: 4 }));
  const startedMs = Date.now();
  for (let count = 0; count < 3; count++) await accept([`${count}@a.test`]);
  await until(() => queue.size === 0);
  assert.equal(jobs.length, 3);
  assert.ok(Date.now() - startedMs >= 2 * 200 - 5);
});

test("queue: mail that waits for its turn goes at once when a reload lifts the limit", async (context) => {
  const { accept, until, tables, jobs, queue } = await bench(context, () => ok("h"));
  tables.activate(active(limited({ maxMessagesPerSecond: 1 }), { relays: 100 }));
  for (let count = 0; count < 5; count++) await accept([`${count}@a.test`]);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(jobs.length, 1);
  assert.equal(queue.active, 0);
  tables.activate(active(routes));
  await until(() => queue.size === 0);
  assert.equal(jobs.length, 5);
});

test("queue: mail that waits for its turn goes where its route points when the turn comes", async (context) => {
  const gates: (() => void)[] = [];
  const { accept, until, tables, jobs, queue } = await bench(context, async () => {
    await new Promise<void>((resolve) => gates.push(resolve));
    return ok("h");
  });
  for (let count = 0; count < 20; count++) await accept([`${count}@a.test`]);
  await until(() => jobs.length === 1); // a lane begins with one
  tables.activate(active({ ...routes, a: { ...routes.a, target: toHost("a2.test") } }));
  while (queue.size > 0) {
    for (const open of gates.splice(0)) open();
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const hosts = jobs.map(
    ({ route: { target } }) => target.kind === "hosts" && target.hosts[0]?.host,
  );
  assert.deepEqual(hosts, ["a1.test", ...Array.from({ length: 19 }, () => "a2.test")]);
});

test("queue: recipients that fail in several transactions of one attempt make one report", async (context) => {
  const { accept, until, jobs, queue, told } = await bench(context, (_, to) =>
    to === "me@sender.test" ? ok("h") : no,
  );
  await accept(["1@a.test", "1@b.test", "2@a.test"]);
  await until(() => queue.size === 0);
  assert.equal(told.filter((each) => each.startsWith("reported")).length, 1);
  const report = Buffer.from(jobs.at(-1)?.body ?? []).toString();
  for (const to of ["1@a.test", "1@b.test", "2@a.test"])
    assert.ok(report.includes(`rfc822;${to}`) || report.includes(`rfc822; ${to}`), to);
});

test("queue: a stranger's mail makes no report for a sender whose route is for trusted clients", async (context) => {
  const { accept, until, queue, told, tables } = await bench(context, () => no);
  tables.activate(active({ ...routes, a: { ...routes.a, access: "Anyone" } }));
  await accept(["bad@a.test"], { trusted: false });
  await until(() => queue.size === 0);
  assert.deepEqual(told, [
    "bounce bad@a.test",
    "unreported: a stranger named a sender whose route is for trusted clients",
  ]);
});

test("queue: mail that stands in line is removed before it goes, and held back", async (context) => {
  const gate = Promise.withResolvers<Outcome>();
  const { accept, jobs, queue, until } = await bench(context, () => gate.promise);
  const first = await accept(["0@a.test"]);
  const second = await accept(["1@a.test"]);
  await until(() => jobs.length === 1);
  const waiting = [await accept(["2@a.test"]), await accept(["3@a.test"])];
  const ordered = [
    queue.order(waiting[0]?.id ?? "", (entry) => entry.pending.fill(null)),
    queue.order(waiting[1]?.id ?? "", (entry) => {
      entry.held = { sinceMs: 1, why: "by order" };
    }),
  ];
  gate.resolve(ok("h"));
  await Promise.all(ordered);
  await until(() => queue.size === 1);
  assert.deepEqual(jobs.map(({ id }) => id).toSorted(), [first.id, second.id].toSorted());
  assert.equal(queue.held, 1);
});
