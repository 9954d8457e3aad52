/** A spool of format 1 (fixtures/format-1), whose one big body is made here. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { message, scratchSpool } from "./message.testkit.ts";
import { segmentPath, segmentsIn } from "./segment-files.ts";
import { Spool, type SpoolOptions } from "./spool.ts";

const bigBody = Buffer.from("Subject: big\r\n\r\n".padEnd(300_000, "big "));
const partly = {
  recipients: [null, { attempts: 2, dueAtMs: 99, warned: false, last: "451 4.2.1 not now" }],
};

function oldSpool(context: TestContext): SpoolOptions {
  const options = scratchSpool(context);
  cpSync(join(import.meta.dirname, "fixtures", "format-1"), options.directory, { recursive: true });
  mkdirSync(join(options.directory, "bodies"));
  writeFileSync(join(options.directory, "bodies", "big"), bigBody);
  return { ...options, segmentBytes: 2048 };
}

async function found(spool: Spool): Promise<Record<string, unknown>> {
  const fail = (id: string): never => assert.fail(`${id} is corrupt`);
  const all: Record<string, unknown> = {};
  for (const { envelope, state } of spool.list(fail)) {
    const body = await spool.body(envelope);
    assert.ok(Buffer.isBuffer(body), `${envelope.id}: ${String(body)}`);
    all[envelope.id] = state.recipients.map((each) => each?.attempts);
  }
  return all;
}

const whole = { one: [0, 0], big: [0, 0], two: [undefined, 2] };

test("spool: one of format 1 is read, and goes on in format 2", async (context) => {
  const options = oldSpool(context);
  for (const newer of ["four", "five"]) {
    const spool = await Spool.open(options);
    const before = newer === "four" ? whole : { ...whole, four: [0, 0] };
    assert.deepEqual(await found(spool), before);
    await spool.setAside();
    await spool.commit([{ kind: "accept", ...message(newer) }]);
    await spool.close();
  }
  const label = JSON.parse(readFileSync(join(options.directory, "spool.json"), "utf8")) as object;
  assert.deepEqual(
    { ...label, salt: "" },
    { format: 2, owner: "relay.test", salt: "", unnumbered: 2 },
  );
});

test("spool: what format 1 has is moved and removed as if it were of format 2", async (context) => {
  const options = oldSpool(context);
  const spool = await Spool.open(options);
  const stored = new Map([...spool.list(assert.fail)].map((each) => [each.envelope.id, each]));
  await spool.setAside();
  for (let number = 0; number < 200; number += 1) {
    const each = message(`pass-${number}`, "x".repeat(500));
    await spool.commit([{ kind: "accept", ...each }]);
    await spool.commit([{ kind: "remove", envelope: each.envelope }]);
  }
  const { envelope } = stored.get("one") ?? assert.fail();
  await spool.commit([{ kind: "remove", envelope }]);
  await spool.commit([{ kind: "update", id: "big", state: partly }]);
  await spool.close();
  const again = await Spool.open(options);
  assert.deepEqual(await found(again), { big: [undefined, 2], two: [undefined, 2] });
  await again.close();
});

test("spool: when nothing of format 1 is left, nor of what came after it, new segments are not taken for its", async (context) => {
  const options = oldSpool(context);
  const first = await Spool.open(options);
  for (const { envelope } of [...first.list(assert.fail)])
    await first.commit([{ kind: "remove", envelope }]);
  await first.setAside();
  await first.close();
  for (const number of segmentsIn(options.directory))
    rmSync(segmentPath(options.directory, number)); // as a spool that is empty drops them
  await (await Spool.open(options)).close();
  const last = await Spool.open(options);
  await last.commit([{ kind: "accept", ...message("precious") }]);
  await last.close();
  const again = await Spool.open(options);
  assert.deepEqual(await found(again), { precious: [0, 0] });
  await again.close();
});

test("spool: a label of format 1 beside segments of format 2 is refused with words, and costs nothing", async (context) => {
  const options = oldSpool(context);
  const label = join(options.directory, "spool.json");
  const old = readFileSync(label);
  const spool = await Spool.open(options);
  await spool.commit([{ kind: "accept", ...message("four") }]);
  await spool.close();
  const newer = readFileSync(label);
  writeFileSync(label, old);
  await assert.rejects(Spool.open(options), /is of a newer format than spool.json says: put back/);
  writeFileSync(label, newer);
  const again = await Spool.open(options);
  assert.deepEqual(await found(again), { ...whole, four: [0, 0] });
  await again.close();
});
