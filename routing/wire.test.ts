import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { compiled, hosts, mailRoute, way } from "./compile.testkit.ts";
import { keyOf } from "./key.ts";
import { routeIdOf } from "./parse-route.ts";
import { type RouteTable, routesOf, tableEntries } from "./table.ts";
import { buildTable } from "./table-builder.ts";
import { TableError } from "./table-error.ts";
import {
  assembleTable,
  decodeManifest,
  decodeShard,
  type Encoded,
  type EncodeOptions,
  encode,
} from "./wire.ts";

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const gzip: EncodeOptions = { sha256, gzip: (bytes) => gzipSync(bytes) };

function decoded({ manifest, shards }: Encoded): RouteTable {
  const read = new Map(
    [...shards].map(([name, bytes]) => [name, decodeShard(bytes, { gunzip: gunzipSync })]),
  );
  return assembleTable(decodeManifest(JSON.stringify(manifest)), read);
}

const routes = [
  mailRoute("mail/a", {
    suffixes: ["a.example", "."],
    addresses: ["ä+x@a.example", '"a b"@a.example'],
  }),
  mailRoute("mail/b", {
    suffixes: ["a.example"],
    domains: ["a.example", "[IPv6:2001:db8::1]"],
    senders: { domains: ["s.example"], addresses: ["x@s.example"], suffixes: ["."] },
    target: { reject: {} },
  }),
  mailRoute("mail/c", { domains: ["a.example"], target: { hosts: [] } }),
  mailRoute("mail/d", {
    domains: ["d.example"],
    target: { mx: { domain: "mx.example" } },
    tls: { mode: "Required" },
  }),
];

const many = (count: number) =>
  Array.from({ length: count }, (_, number) =>
    mailRoute(`mail/r${number}`, {
      suffixes: Array.from({ length: 10 }, (__, part) => `d${number}-${part}.example`),
      target: hosts(`mx${number}.example`),
    }),
  );

test("wire: what is encoded is what is decoded, plain and compressed", () => {
  for (const input of [[], routes, many(1000)]) {
    const { table } = compiled(input, { sha256 });
    assert.deepEqual(decoded(encode(table, { sha256 })), table);
    assert.deepEqual(decoded(encode(table, gzip)), table);
  }
});

test("wire: senders travel with their namespace, and not to a wrong place", () => {
  const { table } = compiled([], { sha256 });
  assert.deepEqual(decoded(encode(table, { sha256 })), table);
  const [bytes = new Uint8Array()] = encode(table, { sha256 }).shards.values();
  const text = Buffer.from(bytes).toString();
  assert.match(text, /"rights":\[\[\["suffix:\."\],0\]\],"submitters":\[\["mail",0\]\]/);
  const wrongs: readonly [rights: string, submitters: string][] = [
    ['[["suffix:."],0]', '["mail"]'],
    ['[["suffix:."],0]', '["mail",1]'],
    ['[["suffix:."],0]', "[7,0]"],
    ['[["suffix:."],0]', '["mail",0],["mail",0]'],
    ['[["suffix:-"],0]', '["mail",0]'],
    ['[["suffix:."],-1]', '["mail",0]'],
    ["7", '["mail",0]'],
  ];
  for (const [rights, submitters] of wrongs) {
    const wrong = `"rights":[${rights}],"submitters":[${submitters}]`;
    const altered = Buffer.from(text.replace(/"rights":.*\]\]/, wrong));
    assert.throws(() => decodeShard(altered), /rights|submitters/, wrong);
  }
});

test("wire: a small table is one shard of plain JSON, a large one has compressed shards", () => {
  const small = encode(compiled(routes).table, gzip);
  assert.equal(small.manifest.shards.length, 1);
  assert.equal([...small.shards.values()][0]?.[0], "{".charCodeAt(0));
  const large = encode(compiled(many(2000)).table, gzip);
  assert.ok(large.manifest.shards.length > 1);
  const plain = encode(compiled(many(2000)).table, { sha256 });
  const average =
    plain.manifest.shards.reduce((sum, { bytes }) => sum + bytes, 0) / plain.manifest.shards.length;
  assert.ok(average > 16 * 1024 && average < 160 * 1024, `${average}`);
  assert.equal(large.manifest.digest, plain.manifest.digest);
});

test("wire: the digest does not depend on the order of resources", () => {
  const digest = (input: typeof routes) => compiled(input, { sha256 }).table.digest;
  assert.equal(digest(routes.toReversed()), digest(routes));
  assert.notEqual(digest(routes.slice(1)), digest(routes));
  assert.match(digest(routes), /^[0-9a-f]{64}$/);
});

test("wire: one changed key or one changed route rewrites one shard, the others are shared", () => {
  const input = many(2000);
  const first = compiled(input, { sha256 });
  const count = first.table.shards.length;
  assert.ok(count > 4);
  const edits = [
    mailRoute("mail/r7", {
      suffixes: Array.from({ length: 10 }, (_, n) => `d7-${n}.example`),
      target: hosts("new.example"),
    }),
    mailRoute("mail/r7", {
      suffixes: Array.from({ length: 9 }, (_, n) => `d7-${n}.example`),
      target: hosts("mx7.example"),
    }),
  ];
  for (const edit of edits) {
    const next = compiled(input.with(7, edit), { sha256, previous: first.table });
    const fresh = next.table.shards.filter((shard, index) => shard !== first.table.shards[index]);
    assert.equal(fresh.length, 1);
    const before = encode(first.table, gzip);
    const after = encode(next.table, gzip);
    assert.equal([...after.shards.keys()].filter((name) => !before.shards.has(name)).length, 1);
    assert.notEqual(next.table.digest, first.table.digest);
  }
  assert.equal(compiled(input, { previous: first.table }).table.shards, first.table.shards);
});

test("wire: the number of shards follows the size, and not every small change of it", () => {
  const table = compiled(many(2000)).table;
  const shrunk = compiled(many(1400), { previous: table }).table;
  assert.equal(shrunk.shards.length, table.shards.length);
  assert.equal(compiled(many(10), { previous: table }).table.shards.length, 1);
  const encoded = encode(table, { sha256, previousShardCount: 1 });
  assert.equal(decoded(encoded).shards.length, encoded.manifest.shards.length);
});

test("wire: a key found in a decoded table is found as before", () => {
  const table = decoded(encode(compiled(routes).table, gzip));
  assert.equal(way(table, "Ä+x@a.example"), "mail/a by address:ä+x@a.example");
  assert.equal(way(table, "u@a.example", "y@s.example"), "mail/b by domain:a.example");
  assert.equal(way(table, "u@b.a.example"), "mail/a by suffix:a.example");
});

test("wire: shards that would be too large are split further", () => {
  const id = routeIdOf("mail", "a");
  const [route] = [...routesOf(compiled([mailRoute("mail/a", { suffixes: ["x"] })]).table)];
  assert.ok(route);
  const entries = Array.from({ length: 40_000 }, (_, number) => ({
    key: keyOf("suffix", `some-long-name-${number}.example`),
    senderKey: undefined,
    route: id,
  }));
  const table = buildTable({ entries, routes: [route] }, { shardCount: 1 });
  const encoded = encode(table, { sha256 });
  assert.ok(encoded.manifest.shards.length > 1);
  assert.equal([...tableEntries(decoded(encoded))].length, 40_000);
});

function refusal(change: (text: string) => string): string {
  const { shards } = encode(compiled(routes).table, { sha256 });
  const text = new TextDecoder().decode([...shards.values()][0]);
  const changed = change(text);
  assert.notEqual(changed, text);
  try {
    decodeShard(new TextEncoder().encode(changed));
  } catch (error) {
    assert.ok(error instanceof TableError);
    return error.message;
  }
  return "accepted";
}

test("wire: a shard with one bad entry is refused, with the place", () => {
  const cases: [string, string, RegExp][] = [
    ['"format":1', '"format":2', /format 2 is newer.*upgrade the relays first/],
    ['"format":1', '"format":0', /format 0 is not readable/],
    ['"format":1', '"format":"1"', /not readable/],
    ['"index":0', '"index":1', /not a place/],
    ['"count":1', '"count":3', /not a place/],
    ['"a.example",', '"A.example",', /A\.example/],
    ['"a.example",', '"a..example",', /a\.\.example/],
    ['"a.example",', '"0x7f.1",', /0x7f\.1/],
    ['"[IPv6:2001:db8::1]"', '"[IPv6:2001:DB8::1]"', /DB8/],
    ['"domain:s.example"', '"domain:S.example"', /S\.example/],
    ['"access":"Trusted"', '"access":"trusted"', /access/],
    ['"access":"Trusted"', '"access":"Trusted","extra":1', /extra|nrecognized/],
    ['"code":550', '"code":250', /code/],
    ['"host":"mx.example"', '"host":"0x7f.1"', /host/],
    ['"suffixes":[', '"suffixes":["x",', /odd number/],
    ['"suffixes":[', '"suffixes":["zz",0,', /order/],
    ['"suffixes":[', '"suffixes":["-",99,', /"-"/],
    ["{", "", /not JSON/],
  ];
  for (const [from, to, message] of cases) {
    assert.match(
      refusal((text) => text.replace(from, to)),
      message,
      `${from} -> ${to}`,
    );
  }
});

test("wire: a table with a missing, foreign or dangling part is refused", () => {
  const encoded = encode(compiled(many(1000)).table, { sha256 });
  const shards = new Map([...encoded.shards].map(([name, bytes]) => [name, decodeShard(bytes)]));
  const { manifest } = encoded;
  const [first, second, ...rest] = manifest.shards;
  assert.ok(first && second);
  const swapped = { ...manifest, shards: [second, first, ...rest] };
  assert.throws(() => assembleTable(swapped, shards), /is number 1 of/);
  const without = new Map([...shards].slice(1));
  assert.throws(() => assembleTable(manifest, without), /is missing/);
  const [name, decoded] = [...shards].find(([, { shard }]) => shard.routes.size > 0) ?? [];
  assert.ok(name && decoded);
  const routeless = { ...decoded, shard: { ...decoded.shard, routes: new Map() } };
  const dangling = new Map(shards).set(name, routeless);
  assert.throws(() => assembleTable(manifest, dangling), /names route mail\/.+, which is missing/);
});

test("wire: manifests that are not ours are refused", () => {
  const { manifest } = encode(compiled(routes).table, { sha256 });
  const cases: [unknown, RegExp][] = [
    [{ ...manifest, format: 2 }, /newer/],
    [{ ...manifest, digest: "x" }, /digest/],
    [{ ...manifest, relays: -1 }, /relays/],
    [{ ...manifest, parents: ["x"] }, /parents/],
    [{ ...manifest, shards: [] }, /shards/],
    [{ ...manifest, shards: [{}] }, /shards\[0\]/],
    [{ ...manifest, shards: [{ ...manifest.shards[0], name: "../x" }] }, /shards\[0\]/],
    [
      { ...manifest, shards: [...manifest.shards, ...manifest.shards, ...manifest.shards] },
      /shards/,
    ],
    [null, /not a JSON object/],
    [[], /not a JSON object/],
  ];
  for (const [value, message] of cases) {
    assert.throws(() => decodeManifest(JSON.stringify(value)), message);
  }
  assert.deepEqual(decodeManifest(JSON.stringify(manifest)), manifest);
});
