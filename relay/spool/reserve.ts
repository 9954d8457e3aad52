/**
 * A file of zeros that holds space on the volume for states and reports: when nothing else is left, it is emptied,
 * and what has been delivered can still be written down. It is filled again when there is room. Adapter.
 */
import { statSync } from "node:fs";
import { open, truncate } from "node:fs/promises";
import { join } from "node:path";

const fileName = "reserve";
const reserveBytes = 4 * 1024 * 1024;
/** So much must be free beside it before it is filled again. */
const besideBytes = 4 * 1024 * 1024;

export class Reserve {
  readonly #path: string;
  #isWhole: boolean;
  #filling: Promise<void> | undefined;

  constructor(directory: string) {
    this.#path = join(directory, fileName);
    this.#isWhole = (statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0) >= reserveBytes;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** False where there was nothing to give. */
  async release(): Promise<boolean> {
    await this.#filling;
    if (!this.#isWhole) return false;
    this.#isWhole = false;
    await truncate(this.#path, 0).catch(() => undefined);
    return true;
  }

  /** Fills it where it is not whole and the volume has the room. Never rejects: it is tried again. */
  async fill(freeBytes: number): Promise<void> {
    if (this.#isWhole || freeBytes < reserveBytes + besideBytes) return;
    this.#filling ??= this.#write()
      .then(
        () => {
          this.#isWhole = true;
        },
        async () => await truncate(this.#path, 0).catch(() => undefined),
      )
      .finally(() => {
        this.#filling = undefined;
      });
    await this.#filling;
  }

  /** Written and synced: a hole, or what the file system has not yet allocated, would hold no space. */
  async #write(): Promise<void> {
    const file = await open(this.#path, "w", 0o600);
    try {
      await file.writeFile(Buffer.alloc(reserveBytes));
      await file.datasync();
    } finally {
      await file.close();
    }
  }
}
