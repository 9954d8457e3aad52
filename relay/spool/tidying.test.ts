import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Item, prefixBytes } from "./frame.ts";
import { message, scratchSpool } from "./message.testkit.ts";
import { Places } from "./places.ts";
import { segmentPath } from "./segment-files.ts";
import { Spool } from "./spool.ts";
import { Tidier, type TidierOptions } from "./tidier.ts";

const settings = {
  markers: () => Buffer.alloc(12),
  slackBytes: 1e6,
  mayMove: () => true,
  damaged: [],
};

/** One on whose disk nothing need be read, and whose newest segment is 3. */
function journal(
  parts: Pick<TidierOptions["journal"], "drop"> & Partial<TidierOptions["journal"]>,
): TidierOptions["journal"] {
  return {
    append: async () => assert.fail("nothing is to be written"),
    readSegment: async () => assert.fail("nothing is to be moved"),
    readHead: async () => assert.fail("nothing is to be moved"),
    isOpen: (segment) => segment === 3,
    ...parts,
  };
}

test("tidier: where a segment cannot be deleted, what it says is carried on once and not at each try", async () => {
  const places = new Places();
  for (const segment of [1, 2]) places.grown(segment, 1000);
  for (const id of ["stays", "goes"])
    places.accepted(id, { segment: 1, at: 0, bodyAt: 0, bytes: 400, file: undefined });
  places.removed("goes", 2);
  const written: Item[] = [];
  let tries = 0;
  const stuck = journal({
    async append({ head }, placed) {
      written.push(...(JSON.parse(head.toString("utf8", prefixBytes)) as Item[]));
      placed({ segment: 3, at: 0 });
    },
    async drop() {
      tries += 1;
      throw new Error("EIO");
    },
  });
  const tidier = new Tidier({ ...settings, journal: stuck, places });
  while (tries < 3) {
    tidier.wake();
    await sleep(1);
  }
  await tidier.stop();
  assert.deepEqual(written, [{ remove: "goes" }]);
});

test("tidier: a segment that cannot be deleted does not hold up the others", async () => {
  const places = new Places();
  for (const segment of [1, 2, 3]) places.grown(segment, 1000);
  const gone = Promise.withResolvers<number>();
  const tried: number[] = [];
  const stuck = journal({
    async drop(number) {
      tried.push(number);
      if (number === 1) throw new Error("EIO");
      gone.resolve(number);
    },
  });
  const tidier = new Tidier({ ...settings, journal: stuck, places });
  tidier.wake();
  assert.equal(await gone.promise, 2);
  await tidier.stop();
  assert.deepEqual(tried, [1, 2]);
  assert.equal(places.bytes, 2000);
});

test("tidier: where no segment can be deleted, nothing is written again in vain", async () => {
  const places = new Places();
  for (const segment of [1, 2, 3]) places.grown(segment, 1000);
  places.accepted("stays", { segment: 2, at: 0, bodyAt: 0, bytes: 10, file: undefined });
  const tried: number[] = [];
  const stuck = journal({
    async drop(number) {
      tried.push(number);
      throw new Error("EIO");
    },
  });
  const tidier = new Tidier({ ...settings, slackBytes: 0, journal: stuck, places });
  tidier.wake();
  await sleep(20);
  await tidier.stop();
  assert.deepEqual(tried, [1]);
  assert.equal(places.bytes, 3000);
});

test("spool: a file in the next segment's place costs one write, not all until the next start", async (context) => {
  const options = scratchSpool(context);
  const spool = await Spool.open(options);
  writeFileSync(segmentPath(options.directory, 1), "");
  await assert.rejects(spool.commit([{ kind: "accept", ...message("1") }]), /EEXIST/);
  await spool.commit([{ kind: "accept", ...message("2") }]);
  await spool.close();
});
