/** Plays every dialog of dialogs/ against a real listener. */
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { play, readDialogs } from "./dialog.testkit.ts";

const folder = new URL("dialogs/", import.meta.url);
for (const file of readdirSync(folder).sort()) {
  for (const dialog of readDialogs(new URL(file, folder))) {
    test(`dialog: ${dialog.title}`, () => play(dialog));
  }
}
