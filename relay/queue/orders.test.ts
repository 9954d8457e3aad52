/** Orders on a real queue and spool, with a clock of their own for the turns that they give to others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { onDisk } from "../spool/message.testkit.ts";
import { Orders } from "./orders.ts";
import { bench, later, ok } from "./queue.testkit.ts";
import { parseSelection, type Selection } from "./selection.ts";

function selectionOf(query: string): Selection {
  const parsed = parseSelection(new URLSearchParams(query), { mustNarrow: false });
  assert.ok(parsed.ok);
  return parsed.selection;
}

/** A clock that goes on by a millisecond whenever somebody looks, and the turns that it led to. */
function countedTurns() {
  const counted = { turns: 0 };
  let nowMs = 0;
  const slices = {
    now: () => nowMs++,
    async turn() {
      counted.turns += 1;
    },
  };
  return { counted, slices };
}

const more = { outbound: undefined as never, postmaster: "postmaster@relay.test", now: Date.now };

test("orders: a list of messages with a thousand recipients lets others have their turn all the time", async (context) => {
  const { queue, spool, tables, accept, until, jobs } = await bench(context, () => later);
  const to = Array.from({ length: 1000 }, (_, index) => `${index}@a.test`);
  for (let count = 0; count < 3; count++) await accept(to);
  await until(() => jobs.length >= 1 && queue.active === 0);
  const { counted, slices } = countedTurns();
  const orders = new Orders({ queue, spool, tables, ...more, ordered: assert.fail, slices });
  let listed = 0;
  for await (const { recipients } of orders.list(selectionOf("route=mail/a"), {
    after: undefined,
    limit: 10,
  }))
    listed += recipients.length;
  assert.equal(listed, 3000);
  // Each recipient is looked at twice, and each look takes a millisecond of this clock: one turn in five.
  assert.ok(counted.turns >= 3 * 2 * 150, `${counted.turns}`);
});

test("orders: bounced messages are read once, those of nobody not at all", async (context) => {
  const { queue, spool, tables, accept, until, jobs } = await bench(
    context,
    (_, to) => (to === "a@a.test" ? later : ok("h")),
    { bodyBytesInMemoryMax: 0 },
  );
  const read: string[] = [];
  const { body } = spool;
  spool.body = async (envelope) => {
    read.push(envelope.envid ?? "a report");
    return await body.call(spool, envelope);
  };
  const text = Buffer.from(`Subject: big\r\n\r\n${"x".repeat(300_000)}\r\n`);
  await accept(["a@a.test"], { envid: "plain" }, text);
  await accept(["a@a.test"], { envid: "full", ret: "FULL" }, text);
  await accept(["a@a.test"], { envid: "nobody", sender: "" }, text);
  await until(() => jobs.length >= 3 && queue.active === 0);
  read.length = 0;
  const { counted, slices } = countedTurns();
  const ordered: string[] = [];
  const orders = new Orders({
    ...{ queue, spool, tables, ...more, slices },
    ordered: (order) => void ordered.push(order),
  });
  await orders.carryOut("bounce", selectionOf("domain=a.test"), "");
  await until(() => ordered.length === 3 && queue.size === 0);
  assert.deepEqual(read.filter((each) => each !== "a report").toSorted(), ["full", "plain"]);
  assert.ok(counted.turns > 0);
});

test("orders: once the queue has stopped none is carried out, for what was in it may be another relay's", async (context) => {
  const { queue, spool, tables, accept, until, jobs } = await bench(context, () => later);
  const { id } = await accept(["a@a.test"]);
  await until(() => jobs.length === 1 && queue.active === 0);
  await queue.stop({ graceMs: 0 });
  const orders = new Orders({ queue, spool, tables, ...more, ordered: assert.fail });
  const { messages } = await orders.carryOut("remove", selectionOf("domain=a.test"), "");
  await queue.order(id, () => assert.fail("carried out"));
  assert.equal(messages, 0);
  assert.equal((await onDisk(spool)).length, 1);
});
