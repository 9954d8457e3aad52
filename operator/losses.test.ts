import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, mailRoute } from "../routing/compile.testkit.ts";
import type { RouteTable } from "../routing/table.ts";
import { Losses } from "./losses.ts";

/** Of so many MailRoutes with a domain each. */
function tableOf(count: number): RouteTable {
  const routes = Array.from({ length: count }, (_, index) =>
    mailRoute(`mail/r${index}`, { domains: [`d${index}.test`] }),
  );
  return compiled(routes).table;
}

const tables = new Map<number, RouteTable>();
const table = (count: number): RouteTable => {
  const known = tables.get(count) ?? tableOf(count);
  tables.set(count, known);
  return known;
};
const put = (losses: Losses, count: number, nowMs: number, isMeant = false): void =>
  losses.published(table(count), { nowMs, isMeant });

test("losses: what goes piece by piece within a minute is counted together", () => {
  const losses = new Losses();
  put(losses, 100, 0, true);
  for (let count = 90, nowMs = 3000; count >= 70; count -= 10, nowMs += 3000) {
    assert.equal(losses.refusal(table(count), nowMs), undefined);
    put(losses, count, nowMs);
  }
  assert.equal(losses.refusal(table(69), 12_000), "31 of 100 keys would go within a minute");
  assert.equal(losses.refusal(table(70), 12_000), undefined);
});

test("losses: after a minute what has gone is what is", () => {
  const losses = new Losses();
  put(losses, 100, 0, true);
  put(losses, 80, 10_000);
  assert.match(losses.refusal(table(60), 69_000) ?? "", /40 of 100 keys/);
  assert.equal(losses.refusal(table(60), 71_000), undefined, "20 of 80");
});

test("losses: what a person has approved is no loss any more", () => {
  const losses = new Losses();
  put(losses, 100, 0, true);
  put(losses, 20, 1000, true);
  assert.equal(losses.refusal(table(15), 2000), undefined);
});

test("losses: vanished routes count once no more of them vanish, five seconds later at the latest", () => {
  const losses = new Losses();
  const waits = (count: number, nowMs: number, isThere = false) =>
    losses.waitUntilMs({ previous: table(100), next: table(count) }, nowMs, () => isThere);
  assert.equal(waits(100, 0), undefined, "nothing goes");
  assert.equal(waits(99, 0, true), undefined, "an edited route lets one go");
  assert.equal(waits(99, 1000), 2000);
  assert.equal(waits(98, 1500), 2500, "another one");
  assert.equal(waits(98, 2000), 2500);
  assert.equal(waits(98, 2500), undefined);
  assert.equal(waits(97, 5700), 6000, "the sixth second is the last");
  assert.equal(waits(96, 6000), undefined);
  assert.equal(waits(100, 6100), undefined);
  assert.equal(waits(99, 7000), 8000, "they were back: it begins anew");
});
