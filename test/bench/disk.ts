/** What the disk alone takes, the bound that no relay which syncs before 250 can pass; and what it has taken. */
import { constants, mkdtempSync, readFileSync, statSync } from "node:fs";
import { open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const atOnce = 4;
const msMax = 2000;
/** Of each file; then it is written over, which is what a disk takes fastest. */
const blocksMax = 8;
const sectorBytes = 512;
/** In a disk's stat, from 0: sectors written. */
const sectorsField = 6;
const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_DSYNC;

/** Synced writes of so many octets a second, to a few files at once, where relays under measurement write. */
export async function diskRate(bytes: number): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-disk-"));
  const block = Buffer.alloc(bytes, "x");
  const startedMs = performance.now();
  let writes = 0;
  const writer = async (name: string): Promise<void> => {
    const file = await open(join(directory, name), flags);
    for (let at = 0; performance.now() - startedMs < msMax; at += bytes) {
      await file.write(block, 0, bytes, at % (blocksMax * bytes));
      writes += 1;
    }
    await file.close();
  };
  await Promise.all(Array.from({ length: atOnce }, (_, number) => writer(String(number))));
  const seconds = (performance.now() - startedMs) / 1000;
  await rm(directory, { recursive: true });
  return Math.round(writes / seconds);
}

/**
 * Octets that have been written, by anybody, to the disk where relays under measurement write: with the file system's
 * own journal, which no process is charged for. NaN where that is not a disk.
 */
export function writtenBytes(): number {
  const { dev } = statSync(tmpdir()); // as Linux packs device numbers:
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)];
  try {
    const fields = readFileSync(`/sys/dev/block/${major}:${minor}/stat`, "utf8")
      .trim()
      .split(/\s+/);
    return Number(fields[sectorsField]) * sectorBytes;
  } catch {
    return Number.NaN;
  }
}
