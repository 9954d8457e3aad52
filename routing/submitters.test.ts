import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { compiled, mailGrant } from "./compile.testkit.ts";
import type { RawGrant } from "./grants.ts";
import { judge } from "./guard.ts";
import { type RouteTable, rightsOf } from "./table.ts";
import { decodeShard, encode } from "./wire.ts";

const whole = {
  namespaces: { names: ["app"] },
  suffixes: ["app.example"],
  senders: { domains: ["app.example"] },
};
const grant = mailGrant("g", whole);
const namespaces = new Map([
  ["app", new Map()],
  ["other", new Map()],
]);
const references = { secrets: new Map(), namespaces };

type Texts = { readonly senders: readonly string[]; readonly inDoubt?: true };

function tableOf(grants: readonly RawGrant[], previous?: RouteTable): RouteTable {
  return compiled([], { grants, references, previous }).table;
}

const cases: readonly {
  title: string;
  spec: Record<string, unknown>;
  app: Texts;
  other: Texts;
}[] = [
  {
    title: "whose suffixes are broken keeps its senders, and what it may give beside is in doubt",
    spec: { ...whole, suffixes: ["a..b"], senders: { domains: ["app.example", "new.example"] } },
    app: { senders: ["domain:app.example"], inDoubt: true },
    other: { senders: [] },
  },
  {
    title:
      "that names its namespaces unreadably leaves everybody in doubt, and gives nobody anything",
    spec: { ...whole, namespaces: 7 },
    app: { senders: [], inDoubt: true },
    other: { senders: [], inDoubt: true },
  },
  {
    title: "whose senders cannot be read leaves in doubt whom it names",
    spec: { ...whole, senders: { domains: ["a..b"] } },
    app: { senders: [], inDoubt: true },
    other: { senders: [] },
  },
  {
    title: "that is broken and names another namespace now takes from the one before",
    spec: { ...whole, suffixes: ["a..b"], namespaces: { names: ["other"] } },
    app: { senders: [] },
    other: { senders: [], inDoubt: true },
  },
  {
    title: "that is broken and names no senders any more gives none",
    spec: { namespaces: whole.namespaces, suffixes: ["a..b"] },
    app: { senders: [] },
    other: { senders: [] },
  },
];

for (const { title, spec, app, other } of cases) {
  test(`submitters: a grant ${title}`, () => {
    const broken = mailGrant("g", spec);
    const next = tableOf([broken], tableOf([grant]));
    assert.deepEqual(rightsOf(next, "app"), app);
    assert.deepEqual(rightsOf(next, "other"), other);
    assert.deepEqual(tableOf([broken], next), next, "the same again changes nothing");
  });
}

test("submitters: what another grant gave and takes is not kept by one that is broken", () => {
  const second = mailGrant("h", { ...whole, senders: { domains: ["h.example"] } });
  const both = tableOf([grant, second]);
  assert.deepEqual(rightsOf(both, "app").senders, ["domain:app.example", "domain:h.example"]);
  const broken = mailGrant("g", { ...whole, suffixes: ["a..b"] });
  assert.deepEqual(rightsOf(tableOf([broken], both), "app").senders, ["domain:app.example"]);
});

test("submitters: a grant that is broken lifts no limit", () => {
  const limited = mailGrant("g", { ...whole, limits: { messagesPerHour: 10 } });
  const broken = mailGrant("g", { ...whole, limits: { messagesPerHour: "many" } });
  const kept = rightsOf(tableOf([broken], tableOf([limited])), "app");
  assert.deepEqual(kept, { senders: ["domain:app.example"], messagesPerHour: 10, inDoubt: true });
});

test("submitters: the broken grant is deleted, and its rights go with it", () => {
  const broken = mailGrant("g", { ...whole, suffixes: ["a..b"] });
  const standing = tableOf([broken], tableOf([grant]));
  assert.deepEqual(rightsOf(tableOf([], standing), "app"), { senders: [] });
});

test("submitters: rights in doubt cross the wire, and the guard does not count them as lost", () => {
  const before = tableOf([grant]);
  const next = tableOf([mailGrant("g", { ...whole, namespaces: 7 })], before);
  assert.deepEqual(judge({ previous: before, next }), { publish: true });
  const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
  const { shards } = encode(next, { sha256, previousShardCount: 1, parents: [], relays: 1 });
  const decoded = [...shards.values()].map((bytes) => decodeShard(bytes).shard);
  assert.deepEqual(decoded[0]?.submitters.get("app"), { senders: [], inDoubt: true });
});
