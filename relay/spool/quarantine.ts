/**
 * What cannot be read, moved out of the way into `corrupt/`: octets of the journal, or envelope, state and body of a
 * message as files, for whoever wants to mend it. Adapter over the file system; nothing in the relay reads what is there.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory, writeSynced } from "../synced.ts";
import type { BodyFiles } from "./body-files.ts";

const folder = "corrupt";

export type Remains = {
  readonly id: string;
  /** Of the journal, what is no frame. */
  readonly journal?: Uint8Array | undefined;
  readonly envelope?: Uint8Array | undefined;
  readonly state?: Uint8Array | undefined;
  /** Undefined: it is a file of its own, or there is none. */
  readonly body?: Uint8Array | undefined;
};

/** A body that is a file: which, how long it was when it was accepted, and whether it is still this message's. */
export type RemainingFile = {
  readonly files: BodyFiles;
  readonly name: string;
  readonly bytes: number;
  readonly isStillOurs: () => boolean;
};

/** Resolves when all of it is on disk there. Rejects where it is not: then it is to stay where it was. */
export async function quarantine(
  spoolDirectory: string,
  remains: Remains,
  bodyFile?: RemainingFile,
): Promise<void> {
  const directory = join(spoolDirectory, folder);
  const made = await mkdir(directory, { recursive: true, mode: 0o700 });
  if (made !== undefined) await syncDirectory(spoolDirectory);
  const pathOf = (part: string): string => join(directory, `${fileNameOf(remains.id)}.${part}`);
  for (const part of ["journal", "envelope", "state", "body"] as const) {
    const bytes = remains[part];
    if (bytes !== undefined) await writeSynced(pathOf(part), bytes);
  }
  if (bodyFile?.isStillOurs() === true)
    await bodyFile.files.moveTo(pathOf("body"), bodyFile.name, bodyFile.bytes);
  await syncDirectory(directory);
}

/** A damaged id may be anything. */
function fileNameOf(id: string): string {
  return /^[\w-]{1,64}$/.test(id) ? id : `hex-${Buffer.from(id).toString("hex").slice(0, 120)}`;
}
