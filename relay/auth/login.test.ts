import assert from "node:assert/strict";
import { test } from "node:test";
import type { Identity, Login, Standing, Verdict } from "./identity.ts";
import { tokenLogin, userLogin } from "./login.ts";
import { parsePasswordHash } from "./password-hash.ts";
import type { User } from "./users.ts";

const minute = 60_000;
const tail = "$bm9ib2R5bm9ib2R5MTIzNA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const hashOf = (costs: string) => {
  const hash = parsePasswordHash(`$argon2id$v=19$${costs}${tail}`);
  assert.ok(typeof hash !== "string");
  return hash;
};
const joe: User = {
  name: "joe",
  hash: hashOf("m=8,t=1,p=1"),
  senders: ["domain:a.example"] as unknown as User["senders"],
  messagesPerHour: undefined,
};

function userSite() {
  let users = new Map([["joe", joe]]);
  const login = userLogin(joe, () => users);
  const put = (...all: User[]): void => {
    users = new Map(all.map((user) => [user.name, user]));
  };
  return { login, put };
}

const whyOf = (standing: Standing): string | undefined =>
  standing.kind === "over" ? standing.why : undefined;

test("login: a user's holds while he is there with the same password, whatever becomes of others", async () => {
  const { login, put } = userSite();
  const standing = await login.standing();
  assert.deepEqual(standing, { kind: "holds", identity: login.identity });
  put({ ...joe, hash: hashOf("m=8,t=1,p=1") }, { ...joe, name: "jim" });
  assert.equal(whyOf(await login.standing()), undefined);
  put({ ...joe, name: "jim" });
  assert.equal(whyOf(await login.standing()), "this user is gone");
});

test("login: a user's is over with another hash of his, be it of other costs alone", async () => {
  const { login, put } = userSite();
  put({ ...joe, hash: { ...joe.hash, salt: Buffer.from("another salt") } });
  assert.equal(whyOf(await login.standing()), "the password has changed");
  put({ ...joe, hash: hashOf("m=8,t=2,p=1") });
  assert.equal(whyOf(await login.standing()), "the password has changed");
});

test("login: a user whose rights have changed has those of now, and the same identity while none has", async () => {
  const { login, put } = userSite();
  const identityNow = async (): Promise<Identity> => {
    const standing = await login.standing();
    assert.ok(standing.kind === "holds");
    return standing.identity;
  };
  assert.equal(await identityNow(), await identityNow());
  put({ ...joe, senders: [], messagesPerHour: 3 });
  const changed = await identityNow();
  assert.deepEqual([changed.senders, changed.messagesPerHour], [[], 3]);
  assert.equal(await identityNow(), changed);
});

type Reviewed = Verdict<{ readonly identity: Identity }>;
const orders: Identity = {
  kind: "serviceAccount",
  name: "shop/orders",
  namespace: "shop",
  senders: undefined,
};
const good: Reviewed = { kind: "authenticated", identity: orders };
const away: Reviewed = { kind: "unavailable", why: "refused" };

type TokenSite = {
  readonly login: Login;
  /** Why the login is over at that minute, and how often the API server has been asked by then. */
  at(
    minutes: number,
    verdict: Reviewed,
  ): Promise<readonly [why: string | undefined, asked: number]>;
};

function tokenSite(endsMinutes?: number): TokenSite {
  let nowMs = 0;
  let verdict = good;
  let asked = 0;
  const login = tokenLogin({
    identity: orders,
    endsMs: endsMinutes === undefined ? undefined : endsMinutes * minute,
    now: () => nowMs,
    async review() {
      asked += 1;
      return verdict;
    },
  });
  return {
    login,
    async at(minutes, next) {
      nowMs = minutes * minute;
      verdict = next;
      return [whyOf(await login.standing()), asked];
    },
  };
}

test("login: a token's is confirmed every five minutes, and over for good when it is not valid any more", async () => {
  const { at } = tokenSite();
  assert.deepEqual(await at(4.9, good), [undefined, 0]);
  assert.deepEqual(await at(5, good), [undefined, 1]);
  assert.deepEqual(await at(9.9, good), [undefined, 1]);
  const gone = "the token is not valid any more";
  assert.deepEqual(await at(10, { kind: "invalid" }), [gone, 2]);
  assert.deepEqual(await at(16, good), [gone, 2]);
});

test("login: a token's is over at the token's end, whatever the API server says", async () => {
  const { at } = tokenSite(60);
  assert.deepEqual(await at(59.9, good), [undefined, 1]);
  assert.deepEqual(await at(60, good), ["the token has ended", 1]);
});

test("login: an end far away keeps no token from being looked at again", async () => {
  const { at } = tokenSite(1e6);
  assert.deepEqual(await at(5, { kind: "invalid" }), ["the token is not valid any more", 1]);
});

test("login: where the clocks differ so that a good token has ended already, the API server's word counts", async () => {
  const { at } = tokenSite(-10);
  assert.deepEqual(await at(1, good), [undefined, 0]);
  assert.deepEqual(await at(5, { kind: "invalid" }), ["the token is not valid any more", 1]);
});

test("login: an API server that cannot be asked lets a confirmed login hold for fifteen minutes, and no longer", async () => {
  const { at } = tokenSite();
  assert.deepEqual(await at(5, good), [undefined, 1]);
  assert.deepEqual(await at(10, away), [undefined, 2]);
  assert.deepEqual(await at(10.4, away), [undefined, 2]); // half a minute until it is asked again
  assert.deepEqual(await at(10.5, away), [undefined, 3]);
  assert.deepEqual(await at(19.9, away), [undefined, 4]);
  const unconfirmed = "nobody has been able to confirm the token";
  assert.deepEqual(await at(20, away), [unconfirmed, 5]);
  // It does not end for ever, either.
  assert.deepEqual(await at(21, good), [undefined, 6]);
});

test("login: a clock that is set back makes no login last longer", async () => {
  const { at } = tokenSite();
  assert.deepEqual(await at(5, good), [undefined, 1]);
  assert.deepEqual(await at(-1000, { kind: "invalid" }), ["the token is not valid any more", 2]);
});
