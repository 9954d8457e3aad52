import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { test } from "node:test";
import {
  hashPassword,
  isPasswordOf,
  type PasswordHash,
  parsePasswordHash,
} from "./password-hash.ts";

function parsed(text: string): PasswordHash {
  const hash = parsePasswordHash(text);
  if (typeof hash === "string") throw new TypeError(hash);
  return hash;
}

test("password hash: what was hashed is recognised, and nothing else", async () => {
  const hash = parsed(await hashPassword("correct horse"));
  assert.equal(await isPasswordOf(hash, "correct horse"), true);
  for (const wrong of ["correct hors", "correct horse ", "", "Correct horse"])
    assert.equal(await isPasswordOf(hash, wrong), false, wrong);
});

/** From the reference implementations: argon2 (password "password", salt "somesalt") and Python's hashlib. */
const known: readonly [name: string, text: string, password: string][] = [
  [
    "argon2id of the reference implementation's tests",
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    "password",
  ],
];

for (const [name, text, password] of known) {
  test(`password hash: ${name}`, async () => {
    assert.equal(await isPasswordOf(parsed(text), password), true);
    assert.equal(await isPasswordOf(parsed(text), "differentpassword"), false);
  });
}

const hasPython = spawnSync("python3", ["-c", "import hashlib; hashlib.scrypt"]).status === 0;

test("password hash: scrypt as Python makes it", { skip: !hasPython && "no python3" }, async () => {
  const program =
    "import hashlib,base64;u=lambda b:base64.b64encode(b).decode().rstrip('=');s=b'0123456789abcdef';" +
    "print('$scrypt$ln=14,r=8,p=1$'+u(s)+'$'+u(hashlib.scrypt(b'secret',salt=s,n=16384,r=8,p=1,dklen=32)))";
  const text = execFileSync("python3", ["-c", program], { encoding: "utf8" }).trim();
  assert.equal(await isPasswordOf(parsed(text), "secret"), true);
  assert.equal(await isPasswordOf(parsed(text), "Secret"), false);
});

const salt = "c29tZXNhbHRzb21lc2FsdA";
const hash = "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

for (const [name, text] of [
  ["plain text", "secret"],
  ["bcrypt", "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"],
  ["argon2i", `$argon2i$v=19$m=65536,t=2,p=1$${salt}$${hash}`],
  ["argon2id of an old version", `$argon2id$v=16$m=65536,t=2,p=1$${salt}$${hash}`],
  ["a gigabyte of memory", `$argon2id$v=19$m=1048576,t=2,p=1$${salt}$${hash}`],
  ["a thousand passes", `$argon2id$v=19$m=65536,t=999,p=1$${salt}$${hash}`],
  ["no parallelism", `$argon2id$v=19$m=65536,t=2,p=0$${salt}$${hash}`],
  ["scrypt of a gigabyte", `$scrypt$ln=20,r=8,p=1$${salt}$${hash}`],
  ["scrypt that costs nothing", `$scrypt$ln=1,r=8,p=1$${salt}$${hash}`],
] as const) {
  test(`password hash: ${name} is refused with words`, () => {
    assert.equal(typeof parsePasswordHash(text), "string");
  });
}
