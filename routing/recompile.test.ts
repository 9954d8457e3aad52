/** What compile and table-builder remember between two calls may make them faster, and nothing else. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import type { RawRoute } from "./candidates.ts";
import { mailGrant, mailRoute } from "./compile.testkit.ts";
import { type Compiled, compile } from "./compile.ts";
import type { RawGrant } from "./grants.ts";
import { keyOf } from "./key.ts";
import { routeIdOf } from "./parse-route.ts";
import { type Route, retryDefaults } from "./route.ts";
import {
  keyCount,
  type RouteTable,
  submitterEntries,
  type TableEntry,
  tableEntries,
} from "./table.ts";
import { buildTable, type TableContent } from "./table-builder.ts";
import { encode } from "./wire.ts";
import { grants, routes } from "./worlds.testkit.ts";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

type Moment = {
  readonly routes: readonly RawRoute[];
  readonly grants: readonly RawGrant[];
  readonly labels: ReadonlyMap<string, string>;
  readonly now: number;
};

function run(
  moment: Moment,
  previous: RouteTable | undefined,
  installation: Parameters<typeof compile>[0]["installation"],
): Compiled {
  const namespaces = new Map([["x", moment.labels]]);
  return compile({
    routes: moment.routes,
    grants: moment.grants,
    references: { secrets: new Map(), namespaces },
    previous,
    now: moment.now,
    installation,
    conflictHoldMs: 1500,
    sha256,
  });
}

/** Resources come and go over one history, as the same objects wherever they have not changed. */
const history = fc
  .tuple(routes, grants, fc.constantFrom("required" as const, "off" as const))
  .chain(([allRoutes, allGrants, delegation]) =>
    fc.record({
      delegation: fc.constant(delegation),
      moments: fc.array(
        fc.record({
          routes: fc.subarray(allRoutes),
          grants: fc.subarray(allGrants),
          labels: fc.constantFrom(new Map([["team", "a"]]), new Map([["team", "b"]])),
        }),
        { minLength: 2, maxLength: 6 },
      ),
    }),
  );

test("recompile: what is remembered of earlier compiles changes no answer", () => {
  void fc.assert(
    fc.property(history, ({ moments, delegation }) => {
      const installation = { namespace: "mail", className: "default", delegation };
      let warm: Compiled | undefined;
      let cold: Compiled | undefined;
      for (const [step, each] of moments.entries()) {
        const moment = { ...each, now: step * 1000 };
        warm = run(moment, warm?.table, installation);
        // Copies of everything: nobody has seen these objects before.
        cold = run(structuredClone(moment), copied(cold?.table), { ...installation });
        assert.deepEqual(warm.table, cold.table);
        assert.deepEqual(warm.verdicts, cold.verdicts);
        assert.deepEqual(warm.grantVerdicts, cold.grantVerdicts);
        assert.deepEqual(warm.events, cold.events);
        assert.equal(warm.recheckAtMs, cold.recheckAtMs);
      }
    }),
    { numRuns: 500 },
  );
});

test("recompile: what a broken grant freezes is judged by the table before, each time anew", () => {
  const installation = { namespace: "mail", className: "default", delegation: "required" } as const;
  const route = mailRoute("x/r", { suffixes: ["a.test"] });
  const good = mailGrant("g", { namespaces: { names: ["x"] }, suffixes: ["a.test"] });
  const broken = mailGrant("g", { namespaces: 7, suffixes: ["a.test"] });
  const labels = new Map<string, string>();
  const held = (given: RawGrant, routesNow: readonly RawRoute[], previous?: RouteTable) =>
    run({ routes: routesNow, grants: [given], labels, now: 0 }, previous, installation);
  const first = held(good, [route]);
  assert.equal(keyCount(first.table), 1);
  const frozen = held(broken, [route], first.table);
  assert.equal(keyCount(frozen.table), 1);
  const gone = held(broken, [], frozen.table);
  assert.equal(keyCount(gone.table), 0);
  assert.equal(keyCount(held(broken, [route], gone.table).table), 0);
});

function copied(table: RouteTable | undefined): RouteTable | undefined {
  if (table === undefined) return undefined;
  const routesIn = table.shards.flatMap(({ routes: each }) => [...each.values()]);
  const content: TableContent = {
    entries: [...tableEntries(table)],
    routes: structuredClone(routesIn),
    submitters: structuredClone([...submitterEntries(table)]),
  };
  return { ...buildTable(content, { shardCount: table.shards.length }), digest: table.digest };
}

const shardCount = 8;

function routeOf(number: number, generation: number): Route {
  return {
    id: routeIdOf("mail", `r${number}`),
    generation,
    access: "Trusted",
    target: { kind: "discard" },
    protocol: "SMTP",
    tls: { mode: "Opportunistic" },
    delivery: {},
    retry: retryDefaults,
  };
}

/** The same objects again and again, so that lists differ in parts. */
const routePool = [0, 1].flatMap((generation) =>
  Array.from({ length: 12 }, (_, number) => routeOf(number, generation)),
);
const kinds = ["domain", "suffix", "address"] as const;
/** By name, three entries of which two have the same key and sender key. */
const variants: readonly (readonly TableEntry[])[] = kinds.flatMap((kind) =>
  Array.from({ length: 12 }, (_, number) => {
    const name = `n${number}.test`;
    const key = keyOf(kind, kind === "address" ? `u@${name}` : name);
    const route = routeIdOf("mail", `r${number}`);
    return [
      { key, senderKey: undefined, route },
      { key, senderKey: keyOf("domain", "from.test"), route },
      { key, senderKey: undefined, route: routeIdOf("mail", `r${(number + 1) % 12}`) },
    ];
  }),
);
const entryPool = variants.flat();

const content = fc.record({
  routes: fc.uniqueArray(fc.constantFrom(...routePool), { selector: ({ id }) => id }),
  senders: fc.uniqueArray(
    fc.tuple(
      fc.constantFrom("a", "b", "c", "d", "e", "f"),
      fc.subarray([keyOf("domain", "a.test"), keyOf("suffix", "b.test")], { minLength: 1 }),
    ),
    { selector: ([namespace]) => namespace },
  ),
  entries: fc.uniqueArray(fc.constantFrom(...entryPool), {
    selector: ({ key, senderKey }) => `${key} ${senderKey}`,
    maxLength: 60,
  }),
});

function assertSameAsFresh(contents: readonly TableContent[]): void {
  let previous: RouteTable | undefined;
  for (const each of contents) {
    const next = buildTable(each, { shardCount, previous });
    const fresh = buildTable(structuredClone(each), { shardCount });
    assert.deepEqual(next, fresh);
    assert.deepEqual(encode(next, { sha256 }), encode(fresh, { sha256 }));
    for (const [index, shard] of next.shards.entries()) {
      const before = previous?.shards[index];
      assert.equal(shard === before, isSame(shard, before), `shard ${index} is shared`);
    }
    previous = next;
  }
}

test("recompile: a table made upon the one before is the one that is made from nothing", () => {
  void fc.assert(
    fc.property(fc.array(content, { minLength: 2, maxLength: 5 }), (contents) => {
      assertSameAsFresh(contents);
    }),
    { numRuns: 300 },
  );
});

test("recompile: so it is where everything keeps its place in the lists", () => {
  const length = { minLength: variants.length, maxLength: variants.length };
  const choice = fc.array(fc.constantFrom(0, 0, 0, 1, 2), length);
  void fc.assert(
    fc.property(fc.array(choice, { minLength: 2, maxLength: 5 }), (choices) => {
      const contents = choices.map((each) => ({
        entries: each.map((at, index) => variants[index]?.[at] as TableEntry),
        routes: Array.from({ length: 12 }, (_, number) => routeOf(number, each[number] ?? 0)),
      }));
      assertSameAsFresh(contents);
    }),
    { numRuns: 300 },
  );
});

function isSame(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
}
