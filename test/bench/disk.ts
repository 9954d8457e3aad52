/** What the disk alone takes: the bound that no relay which syncs before 250 can pass. */
import { constants, mkdtempSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const atOnce = 4;
const msMax = 2000;
const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_DSYNC;

/** Synced writes of so many octets a second, appended to a few files at once, where relays under measurement write. */
export async function diskRate(bytes: number): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-disk-"));
  const block = Buffer.alloc(bytes, "x");
  const startedMs = performance.now();
  let writes = 0;
  const writer = async (name: string): Promise<void> => {
    const file = await open(join(directory, name), flags);
    for (let at = 0; performance.now() - startedMs < msMax; at += bytes) {
      await file.write(block, 0, bytes, at);
      writes += 1;
    }
    await file.close();
  };
  await Promise.all(Array.from({ length: atOnce }, (_, number) => writer(String(number))));
  const seconds = (performance.now() - startedMs) / 1000;
  await rm(directory, { recursive: true });
  return Math.round(writes / seconds);
}
