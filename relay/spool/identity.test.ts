import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { identityOf, isOtherFile } from "./identity.ts";

test("identity: written to it is the same file, as a copy in its place another", (context) => {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-identity-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "0000000001");
  writeFileSync(file, "a");
  const mark = identityOf(file);
  writeFileSync(file, "b");
  assert.equal(isOtherFile(mark, identityOf(file)), false);
  copyFileSync(file, `${file}.copy`);
  renameSync(`${file}.copy`, file);
  assert.equal(isOtherFile(mark, identityOf(file)), true);
});

const rows = [
  { mark: "1 100", now: "2 100", other: false, why: "inodes of each mount's own" },
  { mark: "1 100", now: "1 200", other: true, why: "an inode that was taken again" },
  { mark: "1 0", now: "1 0", other: false, why: "no births" },
  { mark: "1 0", now: "2 0", other: true, why: "no births, another inode" },
] as const;
for (const { mark, now, other, why } of rows) {
  test(`identity: ${why}: ${other ? "another file" : "the same file"}`, () => {
    assert.equal(isOtherFile(mark, now), other);
  });
}
