import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Authenticator, createAuthenticator } from "./authenticator.ts";
import type { Identity, Mechanism } from "./identity.ts";
import { hashPassword, isPasswordOf, type PasswordHash } from "./password-hash.ts";
import { watchUsers } from "./user-file.ts";
import { parseUsers, type User } from "./users.ts";

const directory = mkdtempSync(join(tmpdir(), "mailroute-users-"));
after(() => rmSync(directory, { recursive: true, force: true }));

let text = "";
before(async () => {
  const hash = await hashPassword("secret");
  text = `users:\n  - {name: joe, password: "${hash}", senders: {domains: [A.example]}}\n`;
});

const tokenOf = (claims: object): string =>
  [{ alg: "none" }, claims, {}]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
const token = tokenOf({ exp: 1 });
const orders: Identity = {
  kind: "serviceAccount",
  name: "shop/orders",
  namespace: "shop",
  senders: undefined,
};

function site() {
  const parsed = parseUsers(text);
  assert.ok(parsed.ok);
  let users: ReadonlyMap<string, User> = parsed.users;
  const slept: number[] = [];
  const compared: PasswordHash[] = [];
  const clock = { nowMs: 0 };
  const asked: string[] = [];
  const authenticator = createAuthenticator({
    users: () => users,
    tokens: {
      async check(shown) {
        asked.push(shown);
        return { kind: "authenticated", identity: orders };
      },
    },
    compare(known, password) {
      compared.push(known);
      return isPasswordOf(known, password);
    },
    now: () => clock.nowMs,
    async sleep(ms) {
      slept.push(ms);
    },
  });
  const replace = (next: ReadonlyMap<string, User>): void => {
    users = next;
  };
  return { authenticator, slept, asked, replace, clock, compared };
}

const check = async (
  authenticator: Authenticator,
  user: string,
  secret: string,
  mechanism: Mechanism = "PLAIN",
) => await authenticator.check({ mechanism, user, secret }, "192.0.2.1");

test("authenticator: a right password is its user, with whom he may send as", async () => {
  const { authenticator, slept } = site();
  const verdict = await check(authenticator, "joe", "secret");
  assert.equal(verdict.kind, "authenticated");
  assert.equal(verdict.login.identity.name, "joe");
  assert.deepEqual(verdict.login.identity.senders, ["domain:a.example"]);
  assert.deepEqual(slept, []);
});

test("authenticator: wrong passwords and users are invalid and answered slowly, a right one is not", async () => {
  const { authenticator, slept } = site();
  assert.equal((await check(authenticator, "joe", "Secret")).kind, "invalid");
  assert.equal((await check(authenticator, "jim", "secret")).kind, "invalid");
  assert.equal((await check(authenticator, "", "")).kind, "invalid");
  assert.deepEqual(slept, [100, 200, 400]);
  assert.equal((await check(authenticator, "joe", "secret")).kind, "authenticated");
  assert.equal(slept.length, 3);
});

test("authenticator: a password of somebody who is not there costs what a user's does", async () => {
  const { authenticator, replace, compared } = site();
  const scrypted = text.replace(
    /"\$.*"/,
    `"$scrypt$ln=10,r=8,p=1$${"A".repeat(22)}$${"A".repeat(43)}"`,
  );
  const users = parseUsers(scrypted);
  assert.ok(users.ok);
  replace(users.users);
  assert.equal((await check(authenticator, "joe", "wrong")).kind, "invalid");
  assert.equal((await check(authenticator, "jim", "wrong")).kind, "invalid");
  const costs = compared.map(({ salt, hash, ...rest }) => [rest, salt.length, hash.length]);
  assert.equal(costs.length, 2);
  assert.deepEqual(costs[1], costs[0]);
});

test("authenticator: a password that has changed is not right any more, although it was a moment ago", async () => {
  const { authenticator, replace } = site();
  assert.equal((await check(authenticator, "joe", "secret")).kind, "authenticated");
  const next = parseUsers(
    text.replace(/password: "[^"]+"/, `password: "${await hashPassword("new")}"`),
  );
  assert.ok(next.ok);
  replace(next.users);
  assert.equal((await check(authenticator, "joe", "secret")).kind, "invalid");
  replace(new Map());
  assert.equal((await check(authenticator, "joe", "new")).kind, "invalid");
});

test("authenticator: a token goes to the API server by any mechanism, a password never", async () => {
  const { authenticator, asked } = site();
  for (const mechanism of ["PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"] as const)
    assert.equal((await check(authenticator, "anything", token, mechanism)).kind, "authenticated");
  assert.equal(asked.length, 4);
  await check(authenticator, "joe", "secret");
  assert.equal((await check(authenticator, "joe", "secret", "XOAUTH2")).kind, "invalid");
  assert.equal(asked.length, 4);
});

test("authenticator: logins are looked at again: a user's in the users of now, a token's at the API server and by its end", async () => {
  const { authenticator, asked, replace, clock } = site();
  const user = await check(authenticator, "joe", "secret");
  assert.ok(user.kind === "authenticated");
  assert.equal((await user.login.standing()).kind, "holds");
  replace(new Map());
  assert.equal((await user.login.standing()).kind, "over");

  const ending = await check(authenticator, "", tokenOf({ exp: 600 }));
  assert.ok(ending.kind === "authenticated");
  clock.nowMs = 599_000;
  assert.equal((await ending.login.standing()).kind, "holds");
  assert.equal(asked.length, 2);
  clock.nowMs = 600_000;
  assert.equal((await ending.login.standing()).kind, "over");
});

for (const [name, broken, words] of [
  [
    "plain text for a hash",
    "users: [{name: a, password: secret, senders: {}}]",
    /users\.0\.password.*hash-password/,
  ],
  ["no senders", "users: [{name: a, password: x}]", /senders/],
  [
    "a sender that is no domain",
    "users: [{name: a, password: HASH, senders: {domains: ['-']}}]",
    /users\.0\.senders\.domains/,
  ],
  [
    "a name twice",
    "users: [{name: a, password: HASH, senders: {}}, {name: a, password: HASH, senders: {}}]",
    /users\.1\.name: a is there twice/,
  ],
  ["no YAML", "users: [", /not YAML/],
  ["a misspelt field", "users: [{name: a, pasword: HASH, senders: {}}]", /pasword|password/],
] as const) {
  test(`users: ${name} is complained of by its field`, async () => {
    const parsed = parseUsers(broken.replaceAll("HASH", `"${await hashPassword("x")}"`));
    assert.equal(parsed.ok, false);
    assert.match(parsed.complaints.join("; "), words);
  });
}

test("users: a file that is swapped counts, and a broken one leaves those in force", async () => {
  const file = join(directory, "users.yaml");
  const put = (content: string): void => {
    writeFileSync(`${file}.new`, content);
    renameSync(`${file}.new`, file);
  };
  put(text);
  const told = Promise.withResolvers<string>();
  const swapped = Promise.withResolvers<void>();
  const watched = await watchUsers(file, { swapped: swapped.resolve, problem: told.resolve }, 20);
  assert.deepEqual([...watched.users.keys()], ["joe"]);
  put("users: [");
  assert.match(await told.promise, /users\.yaml: not YAML.*the users in force stay/);
  assert.deepEqual([...watched.users.keys()], ["joe"]);
  put(text.replace("joe", "jim"));
  await swapped.promise;
  assert.deepEqual([...watched.users.keys()], ["jim"]);
  watched.stop();
  await assert.rejects(
    watchUsers(join(directory, "none.yaml"), { swapped() {}, problem() {} }),
    /cannot read/,
  );
});
