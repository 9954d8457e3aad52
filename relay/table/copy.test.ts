import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { encode } from "../../routing/wire.ts";
import { type Keeping, tableCopy } from "./copy.ts";
import { tableOf, toHost } from "./table.testkit.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function keeping(): Keeping {
  const table = tableOf({ a: { suffixes: ["a.test"], target: toHost("a.test") } });
  const { manifest, shards } = encode(table, { sha256, relays: 1 });
  return {
    manifest: JSON.stringify(manifest),
    shards: [...shards.keys()],
    fresh: shards,
    lastGood: { files: { "a.yaml": [] }, missing: ["b.yaml"] },
  };
}

function place(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-copy-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test("table copy: what was kept is there after a restart, the missing files too", async (context) => {
  const directory = place(context);
  assert.equal(await tableCopy(directory).load(), undefined);
  const given = keeping();
  await tableCopy(directory).save(given);
  const kept = await tableCopy(directory).load();
  assert.equal(kept?.wire?.manifest, given.manifest);
  assert.deepEqual([...(kept?.wire?.shards.keys() ?? [])], given.shards);
  assert.deepEqual(kept?.lastGood, given.lastGood);
  assert.deepEqual(readdirSync(directory).sort(), [...given.shards, "table.json"].sort());
});

test("table copy: a damaged shard is said, and written again", async (context) => {
  const directory = place(context);
  const given = keeping();
  await tableCopy(directory).save(given);
  const [name = ""] = given.shards;
  truncateSync(join(directory, name), 10);
  const copy = tableCopy(directory);
  const kept = await copy.load();
  assert.equal(kept?.wire, undefined);
  assert.match(kept?.damage ?? "", /shard-\w+ is damaged/);
  assert.deepEqual(kept?.lastGood, given.lastGood);
  await copy.save(given);
  assert.deepEqual(readFileSync(join(directory, name)), Buffer.from(given.fresh.get(name) ?? []));
  assert.notEqual((await tableCopy(directory).load())?.wire, undefined);
});

test("table copy: a damaged index is not the same as none", async (context) => {
  const directory = place(context);
  await tableCopy(directory).save(keeping());
  for (const text of ["", "null", "{}", '{"manifest":"']) {
    writeFileSync(join(directory, "table.json"), text);
    const kept = await tableCopy(directory).load();
    assert.equal(kept?.wire, undefined);
    assert.equal(kept?.lastGood, undefined);
    assert.notEqual(kept?.damage, undefined, JSON.stringify(text));
  }
});
