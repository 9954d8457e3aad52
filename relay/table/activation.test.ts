import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { keyOf } from "../../routing/key.ts";
import { routeIdOf } from "../../routing/parse-route.ts";
import { type Route, retryDefaults } from "../../routing/route.ts";
import { keyCount, type RouteTable } from "../../routing/table.ts";
import { buildTable } from "../../routing/table-builder.ts";
import { encode } from "../../routing/wire.ts";
import { Activation } from "./activation.ts";
import { TableHolder } from "./holder.ts";

const shardCount = 32;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function routeTo(number: number, host: string): Route {
  return {
    id: routeIdOf("mail", `r${number}`),
    generation: 1,
    access: "Trusted",
    target: { kind: "hosts", hosts: [{ host, port: 25, priority: 10, weight: 1 }] },
    protocol: "SMTP",
    tls: { mode: "Opportunistic" },
    delivery: {},
    retry: retryDefaults,
  };
}

/** Of 200 routes; the first goes to `host`. */
function tableTo(host: string, previous?: RouteTable): RouteTable {
  const routes = Array.from({ length: 200 }, (_, number) =>
    routeTo(number, number === 0 ? host : "mx.test"),
  );
  const entries = routes.map(({ id }, number) => ({
    key: keyOf("suffix", `d${number}.test`),
    senderKey: undefined,
    route: id,
  }));
  return buildTable({ entries, routes }, { shardCount, previous });
}

function wire(table: RouteTable) {
  const options = { sha256, gzip: gzipSync, previousShardCount: shardCount };
  const { manifest, shards } = encode(table, options);
  return { text: JSON.stringify(manifest), digest: manifest.digest, shards };
}

test("activation: fetches shards ahead, some at a time, and puts the whole table in force", async () => {
  const tables = new TableHolder();
  const { text, shards, digest } = wire(tableTo("mx.test"));
  let active = 0;
  let activeMax = 0;
  const shard = async (name: string): Promise<Uint8Array> => {
    active += 1;
    activeMax = Math.max(activeMax, active);
    await sleep(2);
    active -= 1;
    return shards.get(name) ?? new Uint8Array();
  };
  const activated = await new Activation(tables, Date.now).take({
    manifest: text,
    shard,
    stale: false,
  });
  assert.equal(activated.digest, digest);
  assert.equal(activated.keys, 200);
  assert.equal(keyCount(tables.current?.table ?? tableTo("none.test")), 200);
  assert.equal(activeMax, 8);
});

test("activation: of the next table only what has changed is fetched", async () => {
  const tables = new TableHolder();
  const activation = new Activation(tables, Date.now);
  const asked: string[] = [];
  const take = async ({ text, shards }: ReturnType<typeof wire>): Promise<void> => {
    const shard = async (name: string): Promise<Uint8Array> => {
      asked.push(name);
      return shards.get(name) ?? new Uint8Array();
    };
    await activation.take({ manifest: text, shard, stale: false });
  };
  const first = tableTo("mx.test");
  await take(wire(first));
  assert.equal(asked.length, shardCount);
  await take(wire(tableTo("elsewhere.test", first)));
  assert.equal(asked.length, shardCount + 1);
});

test("activation: one shard that fails refuses the table, and the one in force stays", async () => {
  const tables = new TableHolder();
  const activation = new Activation(tables, Date.now);
  const first = tableTo("mx.test");
  const good = wire(first);
  const from = (shards: ReadonlyMap<string, Uint8Array>) => async (name: string) =>
    shards.get(name) ?? new Uint8Array();
  await activation.take({ manifest: good.text, shard: from(good.shards), stale: false });
  const before = tables.current;
  const routes = Array.from({ length: 200 }, (_, number) => routeTo(number, "other.test"));
  const entries = routes.map(({ id }, number) => ({
    key: keyOf("suffix", `d${number}.test`),
    senderKey: undefined,
    route: id,
  }));
  const next = wire(buildTable({ entries, routes }, { shardCount, previous: first }));
  const [, , third] = [...next.shards.keys()];
  // All that were fetched ahead fail too, and nobody is left to hear of it.
  const failing = async (name: string): Promise<Uint8Array> => {
    await sleep(1);
    if (name !== third) throw new Error("no answer");
    return new Uint8Array();
  };
  await assert.rejects(
    activation.take({ manifest: next.text, shard: failing, stale: false }),
    /no answer/,
  );
  const wrong = new Map([...next.shards].map(([name]) => [name, new Uint8Array([1])]));
  await assert.rejects(
    activation.take({ manifest: next.text, shard: from(wrong), stale: false }),
    /does not have the content/,
  );
  assert.equal(tables.current, before);
  await activation.take({ manifest: next.text, shard: from(next.shards), stale: false });
  assert.equal(tables.current?.digest, next.digest);
});
