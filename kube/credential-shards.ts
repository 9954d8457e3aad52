/**
 * The relays' own Secrets, as operator and relays both know them: their names, which of them holds a lent
 * Secret, and the text of an entry. Pure. Names are fixed, so that a role can name them one by one.
 */
import { createHash } from "node:crypto";

/** A lent Secret at one version, as an entry holds it. */
export type LentCredential = {
  /** "namespace/name". */
  readonly secret: string;
  readonly version: string;
  readonly values: Readonly<Record<string, string>>;
};

/** A Secret holds 1 MiB: so many of them hold what thousands of routes need. The charts' roles name as many. */
const shardCount = 16;

/** Names of all of an installation's credential Secrets. */
export function credentialShards(installation: string): readonly string[] {
  return Array.from({ length: shardCount }, (_, index) => shardName(installation, index));
}

/** The one that holds `secret` ("namespace/name"), whatever else is lent. */
export function credentialShardOf(installation: string, secret: string): string {
  const [first = 0] = createHash("sha256").update(secret).digest();
  return shardName(installation, first % shardCount);
}

/** Keys are versions; undefined where the text is not what the operator writes. */
export function lentCredential(text: string): LentCredential | undefined {
  try {
    const { secret, version, values } = JSON.parse(text) as Partial<LentCredential>;
    const isWhole = typeof secret === "string" && typeof version === "string";
    if (!isWhole || typeof values !== "object" || values === null) return undefined;
    return { secret, version, values };
  } catch {
    return undefined;
  }
}

function shardName(installation: string, index: number): string {
  return `${installation}-credentials-${index}`;
}
