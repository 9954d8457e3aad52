import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import * as fc from "fast-check";
import type { Address } from "./address.ts";
import type { RawRoute } from "./candidates.ts";
import { address, mailRoute } from "./compile.testkit.ts";
import { type CompileInput, compile } from "./compile.ts";
import type { RecipientKey, SenderKey } from "./key.ts";
import { explain, match } from "./match.ts";
import { type RouteTable, type TableEntry, tableEntries } from "./table.ts";
import { assembleTable, decodeManifest, decodeShard, encode } from "./wire.ts";
import { mailbox, routes, world } from "./worlds.testkit.ts";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

function run(
  {
    routes: list,
    grants: given,
    delegation: mode,
  }: {
    routes: readonly RawRoute[];
    grants: CompileInput["grants"];
    delegation: "required" | "off";
  },
  previous?: RouteTable,
) {
  return compile({
    routes: list,
    grants: given,
    references: {
      secrets: new Map(),
      namespaces: new Map([
        ["x", new Map([["team", "a"]])],
        ["y", new Map()],
      ]),
    },
    previous,
    now: 1000,
    installation: { namespace: "mail", className: "default", delegation: mode },
    sha256,
  });
}

test("compile: the order of resources and of their lists never matters", () => {
  const reversed = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(reversed).reverse();
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .map(([key, item]) => [key, reversed(item)])
        .reverse(),
    );
  };
  void fc.assert(
    fc.property(world, world, (one, before) => {
      const previous = run(before).table;
      const turned = {
        ...one,
        routes: one.routes
          .map(({ id, resource }) => ({ id, resource: reversed(resource) }))
          .reverse(),
        grants: one.grants
          .map(({ name: id, resource }) => ({ name: id, resource: reversed(resource) }))
          .reverse(),
      };
      const a = run(one, previous);
      const b = run(turned, previous);
      assert.deepEqual(b.table, a.table);
      const accepted = (result: typeof a) =>
        [...result.verdicts]
          .map(([id, verdict]) => [
            id,
            verdict.kind,
            verdict.kind === "other-class" || verdict.keys,
          ])
          .sort();
      assert.deepEqual(accepted(b), accepted(a));
    }),
    { numRuns: 300 },
  );
});

test("compile: compiling again with the result changes nothing", () => {
  void fc.assert(
    fc.property(world, (one) => {
      const first = run(one);
      const second = run(one, first.table);
      assert.deepEqual([second.table, second.verdicts], [first.table, first.verdicts]);
    }),
    { numRuns: 300 },
  );
  void fc.assert(
    fc.property(world, world, (one, before) => {
      // What a bad resource keeps is read from the table before, so its losses settle in one step.
      const first = run(one, run(one, run(before).table).table);
      const second = run(one, first.table);
      assert.deepEqual(second.table, first.table);
      assert.equal(second.table.shards, first.table.shards);
      assert.deepEqual(second.verdicts, first.verdicts);
      assert.equal(second.recheckAtMs, first.recheckAtMs);
    }),
    { numRuns: 300 },
  );
});

test("compile: no junk makes it throw, and junk costs a good neighbour nothing", () => {
  const good = mailRoute("mail/zz-good", { domains: ["good.test"] });
  const junk = fc.anything({
    maxDepth: 4,
    withNullPrototype: true,
    withBigInt: true,
    withDate: true,
  });
  const halfJunk = fc
    .record(
      {
        suffixes: junk,
        domains: junk,
        senders: junk,
        target: junk,
        className: fc.constantFrom("default", 3),
      },
      { requiredKeys: [] },
    )
    .map((body) => ({
      apiVersion: "mailroute.dev/v1alpha1",
      kind: "MailRoute",
      metadata: { name: "n", namespace: "mail" },
      spec: body,
    }));
  const resource = fc.oneof(junk, halfJunk);
  const id = fc.oneof(fc.string(), fc.constant("mail/n"));
  void fc.assert(
    fc.property(
      fc.array(fc.tuple(id, resource)),
      fc.array(fc.tuple(fc.string(), resource)),
      (raw, rawGrants) => {
        const list = raw.map(([key, value]) => ({ id: key as RawRoute["id"], resource: value }));
        const input = {
          routes: [...list, good],
          grants: rawGrants.map(([key, value]) => ({ name: key, resource: value })),
          delegation: "required" as const,
        };
        const { table } = run(input);
        const found = match(table, { recipient: address("u@good.test"), sender: undefined });
        assert.equal(found.kind === "route" && found.route.id, "mail/zz-good");
      },
    ),
    { numRuns: 500 },
  );
});

test("wire: whatever compile makes is decoded as it was", () => {
  void fc.assert(
    fc.property(world, fc.constantFrom(1, 2, 8), (one, count) => {
      const { table } = run(one);
      const { manifest, shards } = encode(table, {
        sha256,
        gzip: gzipSync,
        previousShardCount: count,
      });
      const read = new Map(
        [...shards].map(([key, bytes]) => [key, decodeShard(bytes, { gunzip: gunzipSync })]),
      );
      const back = assembleTable(decodeManifest(JSON.stringify(manifest)), read);
      const sorted = (from: RouteTable) =>
        [...tableEntries(from)].map((entry) => JSON.stringify(entry)).sort();
      assert.deepEqual(sorted(back), sorted(table));
      if (back.shards.length === table.shards.length) assert.deepEqual(back, table);
    }),
  );
});

/** Slow and obvious: every entry is asked whether it applies, and the best by (recipient, sender) wins. */
function oracle(table: RouteTable, recipient: Address, sender: Address | undefined): string {
  const ranked = [...tableEntries(table)]
    .map((entry) => ({ entry, rank: rankOf(entry, recipient, sender) }))
    .filter(({ rank }) => rank !== undefined)
    .sort((a, b) => compareRanks(a.rank ?? [], b.rank ?? []));
  const best = ranked[0]?.entry;
  if (best !== undefined) return `${best.route} ${best.key} ${best.senderKey ?? ""}`;
  return recipient.isLiteral ? "unlisted-literal" : "outbound";
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  return (b[0] ?? 0) - (a[0] ?? 0) || (b[1] ?? 0) - (a[1] ?? 0);
}

function rankOf({ key, senderKey }: TableEntry, recipient: Address, sender: Address | undefined) {
  const base = recipient.local.includes("+") ? recipient.local.split("+")[0] : undefined;
  const first = covers(key, recipient);
  const second = base ? covers(key, { ...recipient, local: base }) : undefined;
  // As written beats without tag; the distance below an address is smaller than any to a domain.
  const isAddress = key.startsWith("address:");
  const whole = first ?? (isAddress && second !== undefined ? second - 0.5 : undefined);
  if (whole === undefined) return undefined;
  if (senderKey === undefined) return [whole, 0];
  const from = sender && covers(senderKey, sender);
  return from === undefined ? undefined : [whole, from];
}

function covers(
  key: RecipientKey | SenderKey,
  { local: part, domain: at, isLiteral }: Address,
): number | undefined {
  const [kind, ...rest] = key.split(":");
  const value = rest.join(":");
  if (kind === "address") {
    return !isLiteral && value === `${part.toLowerCase()}@${at}` ? 10_000 : undefined;
  }
  if (kind === "domain") return value === at ? 1000 : undefined;
  if (isLiteral) return undefined;
  if (value === ".") return 1;
  return at === value || at.endsWith(`.${value}`) ? 1 + value.split(".").length : undefined;
}

test("match: agrees with a slow and obvious oracle, and so does explain", () => {
  const sender = fc.option(mailbox, { nil: undefined });
  void fc.assert(
    fc.property(routes, fc.array(fc.tuple(mailbox, sender), { minLength: 1 }), (list, mails) => {
      const { table } = run({ routes: list, grants: [], delegation: "off" });
      for (const [recipient, from] of mails) {
        const found = match(table, { recipient, sender: from });
        const text =
          found.kind === "route"
            ? `${found.route.id} ${found.key} ${found.senderKey ?? ""}`
            : found.kind;
        assert.equal(text, oracle(table, recipient, from));
        const wins = explain(table, { recipient, sender: from }).filter(
          ({ outcome }) => outcome === "wins",
        );
        assert.deepEqual(
          wins.map((step) => `${step.route?.id} ${step.key} ${step.senderKey ?? ""}`),
          found.kind === "route" ? [text] : [],
        );
      }
    }),
    { numRuns: 300 },
  );
});
