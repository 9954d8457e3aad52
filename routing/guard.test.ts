import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, mailGrant, mailRoute } from "./compile.testkit.ts";
import { compile } from "./compile.ts";
import { judge, lossesOf } from "./guard.ts";
import type { RouteId } from "./route.ts";
import type { RouteTable } from "./table.ts";

function tableOfSize(count: number): RouteTable {
  const routes = Array.from({ length: count }, (_, index) => ({
    id: `mail/r${index}` as RouteId,
    resource: {
      apiVersion: "mailroute.dev/v1alpha1",
      kind: "MailRoute",
      metadata: { name: `r${index}`, namespace: "mail" },
      spec: { suffixes: [`d${index}.test`], target: { hosts: [{ host: "a.test" }] } },
    },
  }));
  const references = { secrets: new Map(), namespaces: new Map() };
  const installation = { namespace: "mail", className: "default", delegation: "off" } as const;
  return compile({ routes, grants: [], references, previous: undefined, now: 0, installation })
    .table;
}

const cases: readonly { before: number; after: number; publish: boolean }[] = [
  { before: 0, after: 0, publish: true },
  { before: 0, after: 5, publish: true },
  { before: 1, after: 0, publish: false },
  { before: 12, after: 2, publish: true },
  { before: 12, after: 1, publish: false },
  { before: 100, after: 70, publish: true },
  { before: 100, after: 69, publish: false },
  { before: 100, after: 0, publish: false },
  { before: 10, after: 1000, publish: true },
];

for (const { before, after, publish } of cases) {
  test(`guard: from ${before} keys to ${after} is ${publish ? "published" : "held back"}`, () => {
    assert.equal(
      judge({ previous: tableOfSize(before), next: tableOfSize(after) }).publish,
      publish,
    );
  });
}

test("guard: counts what goes, however many shards there were and are", () => {
  const large = tableOfSize(3000);
  assert.ok(large.shards.length > 1);
  assert.deepEqual(judge({ previous: large, next: tableOfSize(100) }), {
    publish: false,
    why: "2900 of 3000 keys would go",
  });
  assert.deepEqual(judge({ previous: tableOfSize(100), next: large }), { publish: true });
});

test("guard: once it holds, it does so until every key has come back", () => {
  const previous = tableOfSize(100);
  const judged = (keys: number) => judge({ previous, next: tableOfSize(keys), isHolding: true });
  assert.deepEqual(judged(99), { publish: false, why: "1 of 100 keys are still missing" });
  assert.equal(judged(100).publish, true);
  assert.equal(judged(101).publish, true);
});

/** Of so many namespaces each may send as its own domain, by a grant that names it. */
function tableOfSubmitters(count: number): RouteTable {
  const names = Array.from({ length: count }, (_, index) => `app-${index}`);
  const grants = names.map((name) =>
    mailGrant(name, {
      namespaces: { selector: { matchLabels: { team: name } } },
      suffixes: [`${name}.example`],
      senders: { domains: [`${name}.example`] },
    }),
  );
  const labels = names.map((name) => [name, new Map([["team", name]])] as const);
  const references = { secrets: new Map(), namespaces: new Map(labels) };
  const own = mailRoute("mail/a", { suffixes: ["a.example"] });
  return compiled([own], { grants, references }).table;
}

const rightsCases: readonly { before: number; after: number; why: string | undefined }[] = [
  { before: 0, after: 5, why: undefined },
  { before: 12, after: 2, why: undefined },
  { before: 12, after: 1, why: "11 of 12 namespaces' rights to send would go" },
  { before: 100, after: 70, why: undefined },
  { before: 100, after: 69, why: "31 of 100 namespaces' rights to send would go" },
  { before: 3, after: 0, why: "every namespace's right to send would go: all 3" },
];

for (const { before, after, why } of rightsCases) {
  test(`guard: from ${before} namespaces that may send to ${after} is ${why === undefined ? "published" : "held back"}`, () => {
    const judged = judge({ previous: tableOfSubmitters(before), next: tableOfSubmitters(after) });
    assert.deepEqual(judged, why === undefined ? { publish: true } : { publish: false, why });
  });
}

test("guard: once it holds, it does so until every namespace's right to send has come back", () => {
  const previous = tableOfSubmitters(20);
  const judged = (count: number) =>
    judge({ previous, next: tableOfSubmitters(count), isHolding: true });
  assert.deepEqual(judged(19), {
    publish: false,
    why: "1 of 20 namespaces' rights to send are still missing",
  });
  assert.deepEqual(judged(20), { publish: true });
});

test("guard: what would be lost is each key and each right to send, whatever else changes", () => {
  const previous = tableOfSize(4);
  assert.deepEqual([...lossesOf({ previous, next: tableOfSize(5) })], []);
  const two = lossesOf({ previous, next: tableOfSize(2) });
  assert.deepEqual([...two].sort(), ["suffix:d2.test\t", "suffix:d3.test\t"]);
  const from = (domain: string, host: string): RouteTable =>
    compiled([
      mailRoute("mail/a", {
        suffixes: ["a.example"],
        senders: { domains: [domain] },
        target: { hosts: [{ host }] },
      }),
    ]).table;
  const before = from("b.example", "one.test");
  assert.deepEqual([...lossesOf({ previous: before, next: from("b.example", "two.test") })], []);
  const moved = lossesOf({ previous: before, next: from("c.example", "one.test") });
  assert.deepEqual([...moved], ["suffix:a.example\tdomain:b.example"]);
  const rights = lossesOf({ previous: tableOfSubmitters(2), next: tableOfSubmitters(1) });
  assert.deepEqual([...rights], ["\tdomain:app-1.example\tapp-1"]);
});
