import assert from "node:assert/strict";
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../until.testkit.ts";
import { type Item, makeFrame, readFrames, sealFrame } from "./frame.ts";
import { type Markers, markersOf, readLabel } from "./label.ts";
import { message, onDisk, scratchSpool, timePasses } from "./message.testkit.ts";
import type { Envelope } from "./records.ts";
import { segmentPath, segmentsIn } from "./segment-files.ts";
import { Spool, type SpoolOptions } from "./spool.ts";

const fail = (id: string): never => assert.fail(`${id} is said to be corrupt`);

/** Changes octets of the only segment in place. */
function damage(options: SpoolOptions, find: string, instead: string): void {
  const folder = join(options.directory, "journal");
  const [name = ""] = readdirSync(folder);
  const bytes = readFileSync(join(folder, name));
  const at = bytes.indexOf(find);
  assert.ok(at > 0 && find.length === instead.length, find);
  bytes.write(instead, at, "latin1");
  writeFileSync(join(folder, name), bytes);
}

test("spool: a damaged body is not given out, a damaged frame costs no other message", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const text = (id: string): string => `Subject: body of ${id}\r\n\r\n`;
  for (const id of ["1", "2", "3"])
    await spool.commit([{ kind: "accept", ...message(id, text(id)) }]);
  await spool.close();
  damage(options, "body of 1", "BODY OF 1");
  damage(options, '"id":"2"', '"id":"9"');

  const again = await Spool.open(options);
  const corrupt: string[] = [];
  const stored = [...again.list((id) => corrupt.push(id))];
  assert.equal(corrupt.length, 1);
  assert.deepEqual(
    stored.map(({ envelope }) => envelope.id),
    ["1", "3"],
  );
  const [first, third] = stored.map(({ envelope }) => envelope) as [Envelope, Envelope];
  assert.equal(await again.body(first), "damaged");
  assert.equal((await again.body(third)).toString(), text("3"));
  await again.setAside();
  assert.deepEqual(readdirSync(join(options.directory, "corrupt")), [`${corrupt[0]}.journal`]);
  assert.equal(await again.keepDamaged(first), true);
  await again.close();
  const kept = readFileSync(join(options.directory, "corrupt", "1.body"), "utf8");
  assert.equal(kept, text("1").replace("body of", "BODY OF"));

  const clean = await Spool.open(options); // what was set aside is not found again
  assert.equal([...clean.list(fail)].length, 2);
  assert.equal((await clean.body(third)).toString(), text("3"));
  await clean.close();
});

test("spool: what was set aside is not found again, however soon the spool is closed", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  for (const id of ["1", "2"]) await spool.commit([{ kind: "accept", ...message(id) }]);
  await spool.close();
  damage(options, '"id":"1"', '"id":"9"');
  const again = await Spool.open(options);
  const corrupt: string[] = [];
  assert.equal([...again.list((id) => corrupt.push(id))].length, 1);
  assert.equal(corrupt.length, 1);
  await again.setAside();
  await again.close();
  const clean = await Spool.open(options);
  assert.equal([...clean.list(fail)].length, 1);
  await clean.close();
});

for (const left of ["mail", "nothing"]) {
  test(`spool: the damage of several segments with ${left} beside it is not found again after a close at once`, async (context) => {
    const options = { ...scratchSpool(context), segmentBytes: left === "mail" ? 500 : 1 };
    const spool = await Spool.open(options);
    for (const id of ["1", "2", "3", "4", "5", "6"])
      await spool.commit([{ kind: "accept", ...message(id) }]);
    await spool.close();
    const segments = segmentsIn(options.directory);
    assert.equal(segments.length, left === "mail" ? 3 : 6);
    segments.pop(); // of the newest nobody knows whether it was answered for
    for (const each of segments) {
      const path = segmentPath(options.directory, each);
      const text = readFileSync(path, "latin1").replace(/"id":"\d"/, '"id":"x"');
      writeFileSync(path, text, "latin1");
    }
    const again = await Spool.open(options);
    const corrupt: string[] = [];
    const mail = [...again.list((id) => corrupt.push(id))];
    assert.equal(corrupt.length, segments.length);
    assert.equal(mail.length, 6 - corrupt.length);
    await again.setAside();
    await again.close();
    const clean = await Spool.open(options);
    assert.equal([...clean.list(fail)].length, mail.length);
    await clean.close();
  });
}

test("spool: what was set aside is not found again, where its segment is being changed meanwhile", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const staying = message("2");
  await spool.commit([{ kind: "accept", ...message("1") }]);
  await spool.commit([{ kind: "accept", ...staying }]);
  await spool.close();
  damage(options, '"id":"1"', '"id":"9"');
  const again = await Spool.open(options);
  assert.equal([...again.list(() => undefined)].length, 1);
  const state = {
    recipients: [null, { attempts: 1, dueAtMs: 9, warned: false, last: "451" }],
  };
  await again.setAside();
  await again.commit([{ kind: "update", id: "2", state }]); // while it is being moved
  await until(() => segmentsIn(options.directory)[0] !== 1);
  await again.close();
  const clean = await Spool.open(options);
  assert.deepEqual([...clean.list(fail)][0]?.state, state);
  await clean.close();
});

test("spool: a state that does not fit its envelope is damage: it is set aside, and its message is not lost", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  await spool.commit([{ kind: "accept", ...message("1") }]);
  await spool.commit([{ kind: "update", id: "1", state: { recipients: [null] } }]);
  await spool.close();
  const again = await Spool.open(options);
  const corrupt: string[] = [];
  const [stored, ...rest] = [...again.list((id) => corrupt.push(id))];
  assert.deepEqual([stored?.envelope.id, stored?.isStateLost, rest], ["1", true, []]);
  assert.deepEqual(corrupt, ["1"]);
  await again.setAside();
  assert.deepEqual(readdirSync(join(options.directory, "corrupt")), ["1.state"]);
  await again.close();
});

test("spool: what was being written when the process ended is cut off, and was never answered for", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  for (const id of ["1", "2"]) await spool.commit([{ kind: "accept", ...message(id) }]);
  const folder = join(options.directory, "journal");
  const [name = ""] = readdirSync(folder);
  const whole = readFileSync(join(folder, name));
  await spool.commit([{ kind: "accept", ...message("3") }]);
  const longer = readFileSync(join(folder, name));
  await spool.close();
  for (let length = whole.length; length < longer.length; length += 13) {
    writeFileSync(join(folder, name), longer.subarray(0, length));
    const again = await Spool.open(options);
    const ids = [...again.list(fail)].map(({ envelope }) => envelope.id);
    assert.deepEqual(ids, ["1", "2"], `${length}`);
    await again.close();
  }
});

test("spool: what was synced is damage where it cannot be read, also at the end, after a good stop", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  for (const id of ["1", "2"]) await spool.commit([{ kind: "accept", ...message(id) }]);
  await spool.close();
  damage(options, '"id":"2"', '"id":"9"');
  const again = await Spool.open(options);
  const corrupt: string[] = [];
  assert.equal([...again.list((id) => corrupt.push(id))].length, 1);
  assert.equal(corrupt.length, 1);
  await again.close();
});

test("spool: a message that looks like a part of the journal is a message", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  await spool.commit([{ kind: "accept", ...message("1") }]);
  const folder = join(options.directory, "journal");
  const [name = ""] = readdirSync(folder);
  const stolen = readFileSync(join(folder, name)).toString("latin1");
  await spool.commit([{ kind: "accept", ...message("2", `Subject: x\r\n\r\n${stolen}`) }]);
  await spool.commit([{ kind: "accept", ...message("3") }]);
  await spool.close();
  const again = await Spool.open(options);
  const ids = [...again.list(fail)].map(({ envelope }) => envelope.id);
  assert.deepEqual(ids, ["1", "2", "3"]);
  await again.close();
});

test("spool: a journal without its label, or with a damaged one, is refused with words", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  await spool.commit([{ kind: "accept", ...message("1") }]);
  await spool.close();
  const label = join(options.directory, "spool.json");
  const known = JSON.parse(readFileSync(label, "utf8")) as { readonly salt: string };
  writeFileSync(label, JSON.stringify({ ...known, shape: "new" }));
  await assert.rejects(Spool.open(options), /says shape, which this version does not know/);
  const { salt, ...rest } = known;
  writeFileSync(label, JSON.stringify({ ...rest, sald: salt }));
  await assert.rejects(Spool.open(options), /spool.json is damaged/);
  writeFileSync(label, "{");
  await assert.rejects(Spool.open(options), /spool.json is damaged.*Put it back from a copy/);
  rmSync(label);
  await assert.rejects(Spool.open(options), /has mail in journal.*no spool.json: put that back/);
});

test("spool: a segment that cannot be read is no damage: the start is refused, and may come later", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  await spool.commit([{ kind: "accept", ...message("1") }]);
  await spool.close();
  const [segment = ""] = segmentsIn(options.directory).map((each) =>
    segmentPath(options.directory, each),
  );
  renameSync(segment, `${segment}.away`);
  mkdirSync(segment);
  await assert.rejects(Spool.open(options), /cannot be read: does the volume fail\?/);
  rmdirSync(segment);
  renameSync(`${segment}.away`, segment);
  const again = await Spool.open(options);
  assert.equal([...again.list(fail)].length, 1);
  await again.close();
});

test("spool: one of LMDB, by a version before the first release, is refused with words", async (context) => {
  const options = scratchSpool(context);
  writeFileSync(join(options.directory, "data.mdb"), "");
  await assert.rejects(Spool.open(options), /is LMDB.*let that version deliver it/);
});

test("spool: a copy that was put back is noticed, until it is settled", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  await spool.commit([{ kind: "accept", ...message("1") }]);
  await spool.close();
  const isPutBack = async (): Promise<boolean> => {
    const again = await Spool.open(options);
    const found = again.isPutBack();
    await again.settle();
    await again.close();
    return found;
  };
  assert.equal(await isPutBack(), false);
  cpSync(options.directory, `${options.directory}.copy`, { recursive: true });
  rmSync(options.directory, { recursive: true });
  renameSync(`${options.directory}.copy`, options.directory);
  assert.deepEqual([await isPutBack(), await isPutBack()], [true, false]);
});

test("spool: what is written again because of damage is in frames that are read in a moment", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const pending = { attempts: 1, dueAtMs: 9, warned: false, last: "x".repeat(200) };
  const ids = Array.from({ length: 500 }, (_, number) => `m${number}`);
  for (const change of ["accept", "update"] as const)
    await Promise.all(
      ids.map(async (id) => {
        const state = { recipients: [pending, pending] };
        await spool.commit([
          change === "accept" ? { kind: change, ...message(id) } : { kind: change, id, state },
        ]);
      }),
    );
  await spool.close();
  damage(options, '"id":"m7"', '"id":"??"');
  const again = await Spool.open(options);
  assert.equal([...again.list(() => undefined)].length, 499);
  await again.setAside();
  for (let writes = 0; segmentsIn(options.directory).includes(1); writes += 1) {
    assert.ok(writes < 1000, "the damaged segment stays");
    await timePasses(options);
  }
  await again.close();
  const bytes = readFileSync(segmentPath(options.directory, 2));
  const heads = [...readFrames(bytes, markersIn(options)(2))].map((each) =>
    "items" in each ? each.bodiesAt - each.at : assert.fail("damaged"),
  );
  assert.ok(Math.max(...heads) < 80_000, `heads of ${heads}`);
  const last = await Spool.open(options);
  assert.deepEqual(
    [...last.list(fail)].map(({ state }) => state.recipients),
    Array(499).fill([pending, pending]),
  );
  await last.close();
});

test("spool: what was refused does not count, however often the disk failed before it took a write again", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  await spool.commit([{ kind: "accept", ...message("1") }]);
  await spool.close();
  const markers = markersIn(options);
  const path = segmentPath(options.directory, 1);
  const synced = readFileSync(path).length;
  const refused = sealed([{ accept: message("refused").envelope, bytes: 0 }], markers(1), synced);
  writeFileSync(path, Buffer.concat([readFileSync(path), refused]));
  // Neither of these could be cut off; what was to say so in the first was not written.
  writeFileSync(segmentPath(options.directory, 2), refused.subarray(0, 30));
  const ended: Item[] = [
    { ended: 1, bytes: synced },
    { ended: 2, bytes: 0 },
  ];
  writeFileSync(segmentPath(options.directory, 3), sealed(ended, markers(3), 0));
  const again = await Spool.open(options);
  assert.deepEqual(
    [...again.list(fail)].map(({ envelope }) => envelope.id),
    ["1"],
  );
  await again.close();
});

test("spool: an envelope that no version of this relay would write is set aside, and its message is not lost in silence", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  const { envelope, body } = message("1");
  const strange = { ...envelope, later: true };
  await spool.commit([{ kind: "accept", envelope: strange, body }]);
  await spool.commit([{ kind: "accept", ...message("2") }]);
  await spool.close();
  const again = await Spool.open(options);
  const corrupt: string[] = [];
  assert.equal([...again.list((id) => corrupt.push(id))].length, 1);
  await again.setAside();
  await again.close();
  assert.equal(corrupt.length, 1);
  const kept = readFileSync(join(options.directory, "corrupt", `${corrupt[0]}.journal`), "utf8");
  assert.ok(kept.includes('"later":true') && kept.includes("hello"), kept);
});

function markersIn({ directory }: SpoolOptions): Markers {
  return markersOf(readLabel(directory) ?? assert.fail("no label"));
}

function sealed(items: readonly Item[], marker: Buffer, synced: number): Buffer {
  const frame = makeFrame(items, []);
  sealFrame(frame, marker, synced);
  return frame.head;
}

test("spool: a damaged body that is written again costs no other message, should the process end then", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  for (const id of ["1", "2", "3"])
    await spool.commit([{ kind: "accept", ...message(id, `Subject: body of ${id}\r\n\r\n`) }]);
  await spool.close();
  damage(options, "body of 1", "BODY OF 1");
  damage(options, '"id":"2"', '"id":"9"');
  const again = await Spool.open(options);
  assert.equal([...again.list(() => undefined)].length, 2);
  await again.setAside();
  for (let writes = 0; segmentsIn(options.directory).includes(1); writes += 1) {
    assert.ok(writes < 1000, "the damaged segment stays");
    await timePasses(options);
  }
  const ids = (await onDisk(again)).map(({ envelope }) => envelope.id);
  assert.deepEqual(ids, ["1", "3"]);
  assert.equal(await again.body(message("1", "Subject: body of 1\r\n\r\n").envelope), "damaged");
  await again.close();
});
