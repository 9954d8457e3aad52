/**
 * The key that relays of one installation share, and the TLS that follows from it: who has the key is one of us, and
 * nobody else reads what goes over (RFC 4279, RFC 5489: ECDHE with a pre-shared key, so no certificates). Adapter
 * over node:tls and the key's file.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { SecureContextOptions } from "node:tls";

const identity = "mailroute-handover";
const keyCharsMin = 32;
/** TLS 1.3 takes pre-shared keys only from sessions in Node. */
const common = {
  ciphers: "ECDHE-PSK-CHACHA20-POLY1305",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
} as const satisfies SecureContextOptions;

/** Rejects where the file is missing or its text too short to be a key. */
export async function readKey(file: string): Promise<Buffer> {
  const text = (await readFile(file, "utf8")).trim();
  if (text.length < keyCharsMin)
    throw new Error(`${file} has ${text.length} characters: a key has at least ${keyCharsMin}`);
  return createHash("sha256").update(text).digest();
}

export function serverTls(key: Buffer) {
  return { ...common, pskCallback: (_: unknown, who: string) => (who === identity ? key : null) };
}

export function clientTls(key: Buffer) {
  const checkServerIdentity = (): undefined => undefined; // the key is the proof
  return { ...common, checkServerIdentity, pskCallback: () => ({ psk: key, identity }) };
}
