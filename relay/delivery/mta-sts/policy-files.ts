/**
 * Policies on the spool's volume, a file each, so that a restart does not forget whom a domain trusts. Adapter.
 * Best effort: what cannot be written is known until the process ends, what cannot be read is not known.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import type { StsPolicy } from "./policy.ts";

export type StoredPolicy = {
  readonly domain: string;
  /** As the TXT record had it. */
  readonly id: string;
  readonly policy: StsPolicy;
  /** Epoch. */
  readonly fetchedAtMs: number;
};

const stored = z.strictObject({
  domain: z.string().max(253),
  id: z.string().max(32),
  policy: z.strictObject({
    mode: z.enum(["enforce", "testing", "none"]),
    mx: z.array(z.string().max(255)),
    maxAgeMs: z.int().min(0),
  }),
  fetchedAtMs: z.int(),
});

export type PolicyFiles = {
  /** In no order. */
  read(): readonly StoredPolicy[];
  write(policy: StoredPolicy): void;
  remove(domain: string): void;
};

export function policyFiles(directory: string): PolicyFiles {
  const pathOf = (domain: string): string =>
    join(directory, `${createHash("sha256").update(domain).digest("hex")}.json`);
  return {
    read: () => listed(directory).flatMap((name) => readOne(join(directory, name))),
    write(policy) {
      const path = pathOf(policy.domain);
      bestEffort(() => {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
        writeFileSync(`${path}.new`, JSON.stringify(policy), { mode: 0o600 });
        renameSync(`${path}.new`, path);
      });
    },
    remove: (domain) => bestEffort(() => rmSync(pathOf(domain), { force: true })),
  };
}

function listed(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith(".json"));
  } catch {
    return [];
  }
}

function readOne(path: string): readonly StoredPolicy[] {
  try {
    return [stored.parse(JSON.parse(readFileSync(path, "utf8")))];
  } catch {
    // Cut off, or not ours: the policy is fetched again, and the file overwritten.
    return [];
  }
}

function bestEffort(act: () => void): void {
  try {
    act();
  } catch {
    // A full disk: mail goes on, and the policy is in memory.
  }
}
