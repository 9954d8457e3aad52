/** Plays every dialog of dialogs/ against a real listener. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { play, readDialogs } from "./dialog.testkit.ts";

const folder = new URL("dialogs/", import.meta.url);
const dialogs = readdirSync(folder)
  .sort()
  .flatMap((file) => readDialogs(new URL(file, folder)));

for (const dialog of dialogs) test(`dialog: ${dialog.title}`, () => play(dialog));

const source = /RFC \d+ section \d|CVE-\d{4}-\d{4,}|docs\/security\.md/;

test("dialogs: every title says where the behaviour comes from, and none comes twice", () => {
  const titles = dialogs.map(({ title }) => title);
  assert.deepEqual(
    titles.filter((title) => !source.test(title)),
    [],
  );
  assert.equal(new Set(titles).size, titles.length);
  assert.ok(titles.length >= 120, `${titles.length} dialogs`);
});
