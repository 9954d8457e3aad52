/**
 * Passwords against their hashes, argon2id (RFC 9106) or scrypt (RFC 7914), written as PHC strings. Adapter
 * over node:crypto, whose thread pool does the work. Costs are bounded: a hash from a file must not take the
 * relay's memory.
 */
import { argon2, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

export type PasswordHash = {
  readonly salt: Buffer;
  readonly hash: Buffer;
} & (
  | {
      readonly kind: "argon2id";
      readonly memoryKiB: number;
      readonly passes: number;
      readonly parallelism: number;
    }
  | {
      readonly kind: "scrypt";
      readonly cost: number;
      readonly blockSize: number;
      readonly parallelization: number;
    }
);

const memoryKiBMax = 131_072;
const passesMax = 16;
const parallelismMax = 8;

const argon2idPattern =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;
const scryptPattern =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

/** A string of words where the text is none that is served: what is wrong with it. */
export function parsePasswordHash(text: string): PasswordHash | string {
  const argon = argon2idPattern.exec(text);
  if (argon !== null) {
    const [memoryKiB = 0, passes = 0, parallelism = 0] = argon.slice(1, 4).map(Number);
    const inBounds =
      memoryKiB >= 8 * parallelism &&
      memoryKiB <= memoryKiBMax &&
      passes >= 1 &&
      passes <= passesMax &&
      parallelism >= 1 &&
      parallelism <= parallelismMax;
    if (!inBounds)
      return `costs too much: m up to ${memoryKiBMax}, t up to ${passesMax}, p up to ${parallelismMax}`;
    return { kind: "argon2id", memoryKiB, passes, parallelism, ...saltAndHash(argon) };
  }
  const scrypted = scryptPattern.exec(text);
  if (scrypted === null)
    return "is no argon2id or scrypt hash: make one with `mailroute hash-password`";
  const [log2 = 0, blockSize = 0, parallelization = 0] = scrypted.slice(1, 4).map(Number);
  const cost = 2 ** log2;
  const inBounds =
    log2 >= 10 &&
    blockSize >= 1 &&
    parallelization >= 1 &&
    parallelization <= parallelismMax &&
    (cost * blockSize * 128) / 1024 <= memoryKiBMax;
  if (!inBounds)
    return `costs too little or too much: ln from 10, 128 * r * 2^ln up to ${memoryKiBMax} KiB`;
  return { kind: "scrypt", cost, blockSize, parallelization, ...saltAndHash(scrypted) };
}

function saltAndHash(match: RegExpExecArray): { readonly salt: Buffer; readonly hash: Buffer } {
  return {
    salt: Buffer.from(match[4] ?? "", "base64"),
    hash: Buffer.from(match[5] ?? "", "base64"),
  };
}

/** Whether the password has that hash; off the main thread. */
export async function isPasswordOf(known: PasswordHash, password: string): Promise<boolean> {
  const derived = await derive(known, password);
  return derived.length === known.hash.length && timingSafeEqual(derived, known.hash);
}

/** As RFC 9106 section 4 recommends where memory is scarce, but for m: 19 MiB, OWASP's lowest. */
const defaultCosts = { memoryKiB: 19_456, passes: 2, parallelism: 1 };
const saltBytes = 16;
const hashBytes = 32;

/** A new argon2id hash, as a PHC string. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(saltBytes);
  const kind = "argon2id" as const;
  const hash = await derive(
    { kind, ...defaultCosts, salt, hash: Buffer.alloc(hashBytes) },
    password,
  );
  const { memoryKiB, passes, parallelism } = defaultCosts;
  const costs = `m=${memoryKiB},t=${passes},p=${parallelism}`;
  return `$argon2id$v=19$${costs}$${unpadded(salt)}$${unpadded(hash)}`;
}

const argon2Async = promisify(argon2);
const scryptAsync = promisify(scrypt) as (
  password: string,
  salt: Buffer,
  length: number,
  options: { cost: number; blockSize: number; parallelization: number; maxmem: number },
) => Promise<Buffer>;

async function derive(known: PasswordHash, password: string): Promise<Buffer> {
  const { salt, hash } = known;
  if (known.kind === "argon2id") {
    const { memoryKiB: memory, passes, parallelism } = known;
    const message = Buffer.from(password);
    const options = { message, nonce: salt, memory, passes, parallelism, tagLength: hash.length };
    return await argon2Async("argon2id", options);
  }
  const { cost, blockSize, parallelization } = known;
  const maxmem = 256 * cost * blockSize;
  const options = { cost, blockSize, parallelization, maxmem };
  return await scryptAsync(password, salt, hash.length, options);
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
