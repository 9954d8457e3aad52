/** Files that are written over: what they had before never passes for what they have now. */
import assert from "node:assert/strict";
import {
  cpSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { type Message, message, scratchSpool, timePasses } from "./message.testkit.ts";
import { segmentPath, segmentsIn } from "./segment-files.ts";
import { Spool, type SpoolOptions } from "./spool.ts";

const segmentBytes = 4096;

const scratch = (context: TestContext): SpoolOptions => ({
  ...scratchSpool(context),
  segmentBytes,
});

const fail = (id: string): never => assert.fail(`${id} is said to be corrupt`);

function big(id: string, bytes = 300_000): Message {
  return message(id, `Subject: ${id}\r\n\r\n`.padEnd(bytes, `${id} `));
}

async function comeAndGo(spool: Spool, from: number, count: number): Promise<void> {
  for (let number = from; number < from + count; number += 1) {
    const each = message(`pass-${number}`, "x".repeat(700));
    await spool.commit([{ kind: "accept", ...each }]);
    await spool.commit([{ kind: "remove", envelope: each.envelope }]);
  }
}

/** Names in the journal's directory when the tidier has made spare ones. */
async function spares({ directory }: SpoolOptions, spool: Spool): Promise<string[]> {
  for (let number = 0; number < 1000; number += 1) {
    const names = readdirSync(join(directory, "journal")).filter((each) => each.includes("spare"));
    if (names.length > 0) return names;
    await comeAndGo(spool, 1_000_000 + number, 1);
    await timePasses({ directory });
  }
  return assert.fail("no segment became spare");
}

test("spool: a segment that is written over ends where it was written to, also where the process is killed", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  await comeAndGo(spool, 0, 100);
  await spares(options, spool);
  let writtenOver = 0;
  for (let number = 0; number < 40; number += 1) {
    const { envelope, body } = message(`stays-${number}`, "y".repeat(90));
    await spool.commit([{ kind: "accept", envelope, body }]);
    // As a killed process leaves it: nothing says where the newest segment ends.
    const newest = segmentsIn(options.directory).at(-1) ?? 0;
    if (statSync(segmentPath(options.directory, newest)).size >= segmentBytes) writtenOver += 1;
    const copy = `${options.directory}.copy`;
    cpSync(options.directory, copy, { recursive: true });
    const other = await Spool.open({ ...options, directory: copy });
    const ids = [...other.list(fail)].map((each) => each.envelope.id);
    assert.deepEqual(
      ids.sort(),
      Array.from({ length: number + 1 }, (_, each) => `stays-${each}`).sort(),
    );
    await other.setAside();
    assert.equal(readdirSync(copy).includes("corrupt"), false, "nothing was set aside");
    await other.close();
    rmSync(copy, { recursive: true });
  }
  assert.ok(writtenOver > 3, `${writtenOver} of 40 in one that was written over`);
  await spool.close();
});

test("spool: spare segments outlive a restart, and are given back where space is needed", async (context) => {
  const options = scratch(context);
  const first = await Spool.open(options);
  await comeAndGo(first, 0, 100);
  const before = await spares(options, first);
  await first.close();
  const second = await Spool.open(options);
  assert.deepEqual([...second.list(fail)], []);
  await second.setAside();
  await second.commit([{ kind: "accept", ...message("1") }]);
  const after = readdirSync(join(options.directory, "journal"));
  assert.ok(
    before.some((each) => !after.includes(each)),
    `${before} then ${after}`,
  );
  await second.openReserve();
  const left = readdirSync(join(options.directory, "journal"));
  assert.deepEqual(
    left.filter((each) => each.includes("spare")),
    [],
  );
  await second.commit([{ kind: "accept", ...message("2") }]);
  await second.close();
});

test("spool: a spare segment of a later number than the next one, beside a journal that was put back, is not used for it", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  await spool.commit([{ kind: "accept", ...message("early") }]);
  const journal = join(options.directory, "journal");
  cpSync(journal, `${options.directory}.journal`, { recursive: true });
  await comeAndGo(spool, 0, 100);
  const before = await spares(options, spool);
  await spool.close();
  for (const number of segmentsIn(options.directory))
    rmSync(segmentPath(options.directory, number));
  cpSync(`${options.directory}.journal`, journal, { recursive: true });
  rmSync(`${options.directory}.journal`, { recursive: true });
  const again = await Spool.open(options);
  assert.deepEqual(
    [...again.list(fail)].map(({ envelope }) => envelope.id),
    ["early"],
  );
  await again.setAside();
  await again.commit([{ kind: "accept", ...message("late") }]);
  const newest = segmentsIn(options.directory).at(-1) ?? 0;
  const numbers = before.map((each) => Number(each.slice(-10)));
  assert.ok(newest > Math.max(...numbers), `${newest}, spare: ${numbers}`);
  await again.close();
});

test("spool: the file of a body that was refused is not another's: the refused one may count after all", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  writeFileSync(segmentPath(options.directory, 1), "");
  await assert.rejects(spool.commit([{ kind: "accept", ...big("refused") }]), /EEXIST/);
  const bodies = join(options.directory, "bodies");
  assert.deepEqual(readdirSync(bodies), []);
  await spool.commit([{ kind: "accept", ...big("taken") }]);
  assert.deepEqual(readdirSync(bodies), ["0000000002"]);
  await spool.close();
});

test("spool: a message whose end cannot be read takes no other's body, which has been written over its own", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const [earlier, later] = [big("earlier"), big("later")];
  await spool.commit([{ kind: "accept", ...earlier }]);
  await spool.commit([{ kind: "remove", envelope: earlier.envelope }]);
  await spool.commit([{ kind: "accept", ...later }]);
  assert.equal(readdirSync(join(options.directory, "bodies")).length, 1);
  await spool.close();
  const path = segmentPath(options.directory, 1);
  const octets = readFileSync(path);
  octets.write("REMOVE", octets.indexOf('"remove":"earlier"') + 1);
  writeFileSync(path, octets);
  const again = await Spool.open(options);
  const ids = [...again.list(() => undefined)].map(({ envelope }) => envelope.id);
  assert.deepEqual(ids, ["earlier", "later"]);
  await again.setAside();
  assert.equal(await again.body(earlier.envelope), "damaged");
  assert.equal(await again.head(earlier.envelope, 100), "damaged");
  assert.equal(await again.keepDamaged(earlier.envelope), true);
  for (let writes = 0; segmentsIn(options.directory).includes(1); writes += 1) {
    assert.ok(writes < 1000, "the damaged segment is not written again");
    await timePasses(options);
  }
  const moved = readFileSync(segmentPath(options.directory, 2), "latin1");
  assert.equal(moved.match(/"file":"0000000001"/g)?.length, 1, "only one of them names it");
  await again.commit([{ kind: "remove", envelope: earlier.envelope }]);
  await again.commit([{ kind: "accept", ...big("third") }]);
  const body = await again.body(later.envelope);
  assert.ok(Buffer.isBuffer(body) && body.equals(later.body));
  await again.close();
});

test("spool: a shorter body over a longer one is what it is, and nothing of the longer goes to corrupt/", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const [longer, shorter] = [big("longer", 300_000), big("shorter", 280_000)];
  await spool.commit([{ kind: "accept", ...longer }]);
  await spool.commit([{ kind: "remove", envelope: longer.envelope }]);
  await spool.commit([{ kind: "accept", ...shorter }]);
  const bodies = join(options.directory, "bodies");
  const [name = "", ...rest] = readdirSync(bodies);
  assert.deepEqual([rest, statSync(join(bodies, name)).size], [[], 300_000]);
  const body = await spool.body(shorter.envelope);
  assert.ok(Buffer.isBuffer(body) && body.equals(shorter.body));
  assert.equal((await spool.head(shorter.envelope, 1_000_000)).length, 280_000);
  assert.equal(await spool.keepDamaged(shorter.envelope), true);
  const kept = readFileSync(join(options.directory, "corrupt", "shorter.body"));
  assert.ok(kept.equals(shorter.body));
  await spool.close();
});

test("spool: a big body that is moved to another segment keeps its file", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  const stays = big("stays");
  await spool.commit([{ kind: "accept", ...stays }]);
  for (let number = 0; segmentsIn(options.directory).includes(1); number += 1) {
    assert.ok(number < 100, "it is not moved");
    await spool.commit([{ kind: "accept", ...message(`small-${number}`) }]);
    await comeAndGo(spool, number * 10, 10);
  }
  const next = big("next");
  await spool.commit([{ kind: "accept", ...next }]);
  await spool.close();
  const again = await Spool.open(options);
  for (const { envelope, body } of [stays, next]) {
    const read = await again.body(envelope);
    assert.ok(Buffer.isBuffer(read) && read.equals(body), envelope.id);
  }
  await again.close();
});

test("spool: spare files are given back before a volume without space costs mail", async (context) => {
  const options = scratchSpool(context, { freeBytesMin: Number.MAX_SAFE_INTEGER });
  const spool = await Spool.open(options);
  const { envelope, body } = big("1");
  await spool.commit([{ kind: "accept", envelope, body }]);
  await spool.commit([{ kind: "remove", envelope }]);
  const bodies = join(options.directory, "bodies");
  assert.equal(readdirSync(bodies).length, 1);
  assert.equal(spool.hasRoom(1), false);
  for (let writes = 0; readdirSync(bodies).length > 0; writes += 1) {
    assert.ok(writes < 1000, "the spare file stays");
    await timePasses(options);
  }
  await spool.close();
});

test("spool: a damaged message that is removed while it is set aside takes no other's body along", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const [first, second] = [big("first"), big("second")];
  await spool.commit([{ kind: "accept", ...first }]);
  const keeping = spool.keepDamaged(first.envelope);
  await spool.commit([{ kind: "remove", envelope: first.envelope }]);
  await spool.commit([{ kind: "accept", ...second }]);
  await keeping;
  const body = await spool.body(second.envelope);
  assert.ok(Buffer.isBuffer(body) && body.equals(second.body));
  await spool.close();
});

test("spool: where the journal is older than the bodies' files, nobody reads the head of another's body", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const [earlier, later] = [big("earlier"), big("later", 310_000)];
  await spool.commit([{ kind: "accept", ...earlier }]);
  const journal = join(options.directory, "journal");
  cpSync(journal, `${options.directory}.journal`, { recursive: true });
  await spool.commit([{ kind: "remove", envelope: earlier.envelope }]);
  await spool.commit([{ kind: "accept", ...later }]);
  await spool.close();
  rmSync(journal, { recursive: true });
  renameSync(`${options.directory}.journal`, journal);
  const again = await Spool.open(options);
  assert.deepEqual(
    [...again.list(fail)].map(({ envelope }) => envelope.id),
    ["earlier"],
  );
  assert.equal(await again.head(earlier.envelope, 100), "damaged");
  await again.close();
});

test("spool: what is being written while it closes is refused, or there", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  await spool.commit([{ kind: "accept", ...big("1") }]);
  await spool.commit([{ kind: "remove", envelope: big("1").envelope }]);
  const late = big("late", 310_000);
  const committing = spool.commit([{ kind: "accept", ...late }]).then(
    () => true,
    () => false,
  );
  await turn();
  await spool.close();
  const isThere = await committing;
  const again = await Spool.open(options);
  assert.equal([...again.list(fail)].length, isThere ? 1 : 0);
  await assert.rejects(spool.commit([{ kind: "accept", ...message("later") }]), /is closed/);
  await again.close();
});

test("spool: spare files that somebody has deleted cost no message", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  const messages = ["1", "2", "3"].map((id) => big(id));
  for (const each of messages) await spool.commit([{ kind: "accept", ...each }]);
  for (const { envelope } of messages) await spool.commit([{ kind: "remove", envelope }]);
  await spares(options, spool);
  for (const folder of ["bodies", "journal"])
    for (const name of readdirSync(join(options.directory, folder)))
      if (folder === "bodies" || name.includes("spare"))
        rmSync(join(options.directory, folder, name));
  for (const each of messages) await spool.commit([{ kind: "accept", ...each }]);
  await comeAndGo(spool, 0, 20);
  const body = await spool.body(big("2").envelope);
  assert.ok(Buffer.isBuffer(body) && body.equals(big("2").body));
  await spool.close();
});

test("spool: where the process died when former segments were only named anew, the one before them ends where it was written to", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  await comeAndGo(spool, 0, 100);
  await spares(options, spool);
  await spool.commit([{ kind: "accept", ...message("stays") }]);
  const copy = `${options.directory}.copy`;
  cpSync(options.directory, copy, { recursive: true }); // as a killed process leaves it
  await spool.close();
  const newest = segmentsIn(copy).at(-1) ?? 0;
  cpSync(segmentPath(copy, newest), segmentPath(copy, newest + 1));
  writeFileSync(segmentPath(copy, newest + 2), "");
  for (let start = 0; start < 2; start += 1) {
    const again = await Spool.open({ ...options, directory: copy });
    assert.deepEqual(
      [...again.list(fail)].map(({ envelope }) => envelope.id),
      ["stays"],
    );
    await again.setAside();
    await again.close();
  }
  rmSync(copy, { recursive: true });
});

test("spool: who opens it next shares no file with what was under way at the close", async (context) => {
  const options = scratchSpool(context);
  for (let round = 0; round < 6; round += 1) {
    const old = await Spool.open(options);
    await old.setAside();
    void old
      .commit([{ kind: "accept", ...big(`old-${round}`, 12_000_000) }])
      .catch(() => undefined);
    await sleep(round);
    await old.close();
    const next = await Spool.open(options);
    const left = [...next.list(fail)];
    await next.setAside();
    const fresh = big(`new-${round}`, 12_000_000);
    await next.commit([{ kind: "accept", ...fresh }]);
    await sleep(20);
    const body = await next.body(fresh.envelope);
    assert.ok(Buffer.isBuffer(body) && body.equals(fresh.body), String(body));
    for (const { envelope } of [...left, fresh]) await next.commit([{ kind: "remove", envelope }]);
    await next.close();
  }
});

test("spool: spare files that are being deleted at the close are gone before the next opens", async (context) => {
  const options = scratchSpool(context, { freeBytesMin: Number.MAX_SAFE_INTEGER });
  const old = await Spool.open(options);
  const messages = Array.from({ length: 60 }, (_, number) => big(`m${number}`));
  for (const each of messages) await old.commit([{ kind: "accept", ...each }]);
  for (const { envelope } of messages) await old.commit([{ kind: "remove", envelope }]);
  assert.equal(old.hasRoom(1), false);
  await old.close();
  const next = await Spool.open(options);
  await next.setAside();
  for (const each of messages) await next.commit([{ kind: "accept", ...each }]);
  for (const { envelope, body } of messages) {
    const read = await next.body(envelope);
    assert.ok(Buffer.isBuffer(read) && read.equals(body), `${envelope.id}: ${String(read)}`);
  }
  await next.close();
});
