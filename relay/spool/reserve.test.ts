import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Reserve } from "./reserve.ts";

const plenty = 1e9;

function scratch(context: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-reserve-"));
  context.after(() => rmSync(directory, { recursive: true }));
  // Blocks and not the size: a file of holes would hold no space.
  const heldBytes = (): number =>
    (statSync(join(directory, "reserve"), { throwIfNoEntry: false })?.blocks ?? 0) * 512;
  return { directory, heldBytes };
}

test("reserve: it holds space, gives it once, and takes it again when there is room", async (context) => {
  const { directory, heldBytes } = scratch(context);
  const reserve = new Reserve(directory);
  assert.equal(reserve.isWhole, false);
  await reserve.fill(plenty);
  assert.equal(reserve.isWhole, true);
  assert.ok(heldBytes() >= 4 * 1024 * 1024);
  assert.equal(await reserve.release(), true);
  assert.deepEqual([reserve.isWhole, heldBytes()], [false, 0]);
  assert.equal(await reserve.release(), false);
  await reserve.fill(1024 * 1024);
  assert.equal(reserve.isWhole, false, "the volume has no room for it");
  await reserve.fill(plenty);
  assert.equal(new Reserve(directory).isWhole, true, "the next process finds it");
});
