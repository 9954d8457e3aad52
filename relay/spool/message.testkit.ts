/** Messages for tests of the spool, and what a relay would find in one now. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { writeSynced } from "../synced.ts";
import { readLabel } from "./label.ts";
import { checksum, type Envelope } from "./records.ts";
import type { SpoolLimits } from "./room.ts";
import { Spool, type SpoolOptions, type Stored } from "./spool.ts";

export type Message = { readonly envelope: Envelope; readonly body: Buffer };

export function message(id: string, text = "Subject: x\r\n\r\nhello\r\n"): Message {
  const body = Buffer.from(text);
  const recipients = ["a@b.test", "c@d.test"].map((address) => ({
    address,
    key: "outbound",
    expiresAtMs: 10,
    warnAtMs: 5,
  }));
  const envelope = {
    id,
    session: "s",
    client: "192.0.2.1",
    trusted: true,
    sender: "me@b.test",
    recipients,
    arrivedAtMs: 1,
    bytes: body.length,
    crc: checksum(body),
    eightBit: false,
    smtputf8: false,
  };
  return { envelope, body };
}

/** Where a spool may be made; gone with the test. */
export function scratchSpool(
  context: TestContext,
  limits: Partial<SpoolLimits> = {},
): SpoolOptions {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-spool-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return { directory, owner: "relay.test", limits: { ...wideLimits, ...limits } };
}

/** As long as a synced write takes: the tidier goes on meanwhile. */
export async function timePasses({ directory }: { readonly directory: string }): Promise<void> {
  await writeSynced(join(directory, "time"), Buffer.from("passes"));
}

const wideLimits: SpoolLimits = { bytesMax: 1e9, messagesMax: 100_000, freeBytesMin: 0 };

/** What is on disk, read from a copy: the spool may be open. Fails where something is damaged. */
export async function onDisk({ directory }: Pick<Spool, "directory">): Promise<Stored[]> {
  const copy = mkdtempSync(join(tmpdir(), "mailroute-copy-"));
  try {
    for (const name of ["spool.json", "journal", "bodies"])
      cpSync(join(directory, name), join(copy, name), { recursive: true });
    const limits = { bytesMax: 0, messagesMax: 0, freeBytesMin: 0 };
    const spool = await Spool.open({ directory: copy, owner: ownerOf(copy), limits });
    const found = [...spool.list((id) => assert.fail(`${id} is damaged`))];
    await spool.close();
    return found;
  } finally {
    rmSync(copy, { recursive: true });
  }
}

function ownerOf(directory: string): string {
  return readLabel(directory)?.owner ?? "";
}
