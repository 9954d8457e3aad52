import assert from "node:assert/strict";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { seeded } from "../seeded.testkit.ts";
import { type Message, message, scratchSpool, timePasses } from "./message.testkit.ts";
import { freshState, type State } from "./records.ts";
import { segmentPath, segmentsIn } from "./segment-files.ts";
import { Spool, type SpoolOptions } from "./spool.ts";

const segmentBytes = 8192;

const scratch = (context: TestContext): SpoolOptions => ({
  ...scratchSpool(context),
  segmentBytes,
});

/** Of the segments; beside them are a few spare files. */
function journalBytes({ directory }: SpoolOptions): number {
  const segments = segmentsIn(directory);
  const spares = readdirSync(join(directory, "journal")).length - segments.length;
  assert.ok(spares <= 4, `${spares} spare files`);
  return segments.reduce((sum, each) => sum + statSync(segmentPath(directory, each)).size, 0);
}

function contents(spool: Spool): Map<string, State> {
  const found = new Map<string, State>();
  for (const { envelope, state } of spool.list((id) => assert.fail(`${id} is corrupt`)))
    found.set(envelope.id, state);
  return found;
}

const partly: State = {
  recipients: [null, { attempts: 2, dueAtMs: 99, warned: false, last: "451" }],
};
const filler = (id: string): Message =>
  message(id, `Subject: ${id}\r\n\r\n${"x".repeat(3000)}\r\n`);

async function comeAndGo(spool: Spool, from: number, count: number): Promise<void> {
  for (let number = from; number < from + count; number += 1) {
    const each = filler(`pass-${number}`);
    await spool.commit([{ kind: "accept", ...each }]);
    await spool.commit([{ kind: "remove", envelope: each.envelope }]);
  }
}

/** The tidier works beside the commits, and each wakes it. */
async function assertShort(options: SpoolOptions, spool: Spool, bytesMax: number): Promise<void> {
  for (let number = 0; journalBytes(options) >= bytesMax; number += 1) {
    assert.ok(number < 1000, `${journalBytes(options)} octets, ${bytesMax} at most`);
    await comeAndGo(spool, 1_000_000 + number, 1);
  }
}

test("tidier: a journal of messages that come and go stays short", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  await comeAndGo(spool, 0, 100);
  await assertShort(options, spool, 3 * segmentBytes);
  await spool.close();
});

test("tidier: messages that stay are moved with their states, and the journal stays short", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  const staying: Message[] = [];
  for (let number = 0; number < 5; number += 1) {
    const each = filler(`stay-${number}`);
    staying.push(each);
    await spool.commit([{ kind: "accept", ...each }]);
    if (number % 2 === 0)
      await spool.commit([{ kind: "update", id: each.envelope.id, state: partly }]);
    await comeAndGo(spool, number * 30, 30);
  }
  for (const { envelope, body } of staying) assert.deepEqual(await spool.body(envelope), body);
  await assertShort(options, spool, 2 * 5 * 4500 + 6 * segmentBytes);
  await spool.close();
  const again = await Spool.open(options);
  const expected = staying.map(({ envelope }, number) => [
    envelope.id,
    number % 2 === 0 ? partly : freshState(envelope),
  ]);
  assert.deepEqual([...contents(again)], expected);
  for (const { envelope, body } of staying) assert.deepEqual(await again.body(envelope), body);
  await again.close();
});

test("tidier: what has been removed never comes back, whichever segments go, and nothing else is lost", async (context) => {
  const seed = Number(process.env["MAILROUTE_SEED"] ?? 20_261_126);
  context.diagnostic(`MAILROUTE_SEED=${seed}`);
  const random = seeded(seed);
  const options = scratch(context);
  const model = new Map<string, { readonly message: Message; state: State }>();
  let spool = await Spool.open(options);
  const busy = new Set<string>();
  const change = async (step: number): Promise<void> => {
    const chance = random();
    const ids = [...model.keys()].filter((each) => !busy.has(each));
    const id = ids[Math.floor(random() ** 2 * ids.length)];
    if (id === undefined || chance < 0.4) {
      const text = `Subject: ${step}\r\n\r\n${"y".repeat(Math.floor(random() * 2000))}\r\n`;
      const each = message(`m${step}`, text);
      busy.add(each.envelope.id);
      model.set(each.envelope.id, { message: each, state: freshState(each.envelope) });
      await spool.commit([{ kind: "accept", ...each }]);
      return;
    }
    busy.add(id);
    const kept = model.get(id) as { message: Message; state: State };
    if (chance < 0.6) {
      kept.state = { ...partly, deaths: step };
      await spool.commit([{ kind: "update", id, state: kept.state }]);
    } else {
      model.delete(id);
      await spool.commit([{ kind: "remove", envelope: kept.message.envelope }]);
    }
  };
  for (let step = 0; step < 4000; step += 8) {
    await Promise.all(Array.from({ length: 8 }, async (_, place) => await change(step + place)));
    busy.clear();
    if (random() >= 0.03) continue;
    await spool.close();
    spool = await Spool.open(options);
    const expected = [...model].map(([key, { state }]) => [key, state]).sort();
    assert.deepEqual([...contents(spool)].sort(), expected, `step ${step}`);
    await spool.setAside();
  }
  for (const { message: each } of model.values())
    assert.deepEqual(await spool.body(each.envelope), each.body);
  const liveBytes = [...model.values()].reduce(
    (sum, { message: { body } }) => sum + body.length + 900,
    0,
  );
  await assertShort(options, spool, 2 * liveBytes + 8 * segmentBytes);
  await spool.close();
});

test("tidier: a backlog that goes in any order leaves a short journal, and few messages that stay keep little of it", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  const all = Array.from({ length: 1500 }, (_, number) => message(`m${number}`));
  await Promise.all(all.map(async (each) => await spool.commit([{ kind: "accept", ...each }])));
  const random = seeded(1);
  const going = all.filter((_, number) => number % 100 !== 0).sort(() => random() - 0.5);
  for (let from = 0; from < going.length; from += 10) {
    const some = going.slice(from, from + 10);
    await Promise.all(
      some.map(async ({ envelope }) => await spool.commit([{ kind: "remove", envelope }])),
    );
  }
  await assertShort(options, spool, 8 * segmentBytes);
  await spool.close();
  const again = await Spool.open(options);
  assert.equal(contents(again).size, 15);
  await again.close();
});

test("tidier: what came from another relay with its state is moved as well, and keeps no segment for ever", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  for (let number = 0; number < 10; number += 1) {
    const each = message(`stay-${number}`);
    await spool.commit([
      { kind: "accept", ...each },
      { kind: "update", id: each.envelope.id, state: partly },
    ]);
    await comeAndGo(spool, number * 10, 10);
  }
  await assertShort(options, spool, 8 * segmentBytes);
  await spool.close();
  const again = await Spool.open(options);
  assert.deepEqual([...contents(again).values()], Array(10).fill(partly));
  await again.close();
});

test("tidier: messages with many recipients are not written again and again", async (context) => {
  const options = scratch(context);
  const spool = await Spool.open(options);
  const newest = (): string | undefined =>
    readdirSync(join(options.directory, "journal")).sort().at(-1);
  for (let number = 0; number < 20; number += 1) {
    const { envelope, body } = message(`m${number}`);
    const recipients = Array(100).fill(envelope.recipients).flat();
    await spool.commit([{ kind: "accept", envelope: { ...envelope, recipients }, body }]);
    const pending = { attempts: 1, dueAtMs: 9, warned: false, last: "451 4.4.1 no answer" };
    const state = { recipients: Array(200).fill(pending) };
    await spool.commit([{ kind: "update", id: envelope.id, state }]);
  }
  let quiet = 0;
  for (let writes = 0, before = newest(); quiet < 50; writes += 1) {
    assert.ok(writes < 500, `segment ${newest()} of 40 commits`);
    await timePasses(options);
    quiet = newest() === before ? quiet + 1 : 0;
    before = newest();
  }
  await spool.close();
});

test("tidier: a message that has come again from another relay is not removed by its earlier end", async (context) => {
  const options = scratch(context);
  let spool = await Spool.open(options);
  const mail = message("comes-again");
  const long = message("long", "x".repeat(segmentBytes));
  const accept = async (each: Message): Promise<void> =>
    await spool.commit([{ kind: "accept", ...each }]);
  const remove = async ({ envelope }: Message): Promise<void> =>
    await spool.commit([{ kind: "remove", envelope }]);
  const gone = async (segment: number): Promise<void> => {
    for (let writes = 0; segmentsIn(options.directory).includes(segment); writes += 1) {
      assert.ok(writes < 1000, `segment ${segment} stays`);
      await timePasses(options);
    }
  };
  await accept(mail);
  for (const id of ["a", "b", "c"]) await accept(filler(id));
  await remove(mail);
  await accept(long); // the last in segment 2
  await accept(mail);
  await remove(long);
  await gone(2);
  await spool.close();
  spool = await Spool.open(options);
  assert.deepEqual([...contents(spool).keys()].sort(), ["a", "b", "c", "comes-again"]);
  await accept(long);
  await remove(mail);
  await remove(long);
  await gone(3);
  await spool.close();
  spool = await Spool.open(options);
  assert.deepEqual([...contents(spool).keys()].sort(), ["a", "b", "c"]);
  await spool.close();
});
