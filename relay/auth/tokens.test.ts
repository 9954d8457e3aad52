import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { KubeConfig } from "@kubernetes/client-node";
import { type Api, createApi } from "../../kube/api.ts";
import { createTokens, isToken } from "./tokens.ts";

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const tokenOf = (claims: object): string => `${encoded({ alg: "none" })}.${encoded(claims)}.c2ln`;

let server: Server;
let api: Api;
let nowMs = 1_000_000;
let reviews: { spec: { token: string; audiences: string[] } }[] = [];
/** What the API server answers next. */
let answer: { status: number; body: object } | "hang";

/** Answers what hangs, when `answer` has become one. */
let hung: (() => void)[] = [];

const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await wait(5);
};

before(async () => {
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    request.on("end", () => {
      reviews.push(JSON.parse(text) as (typeof reviews)[number]);
      const finish = (): void => {
        if (answer === "hang") return;
        response.statusCode = answer.status;
        response.end(JSON.stringify(answer.body));
      };
      if (answer === "hang") hung.push(finish);
      else finish();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const config = new KubeConfig();
  const { port } = server.address() as AddressInfo;
  config.loadFromClusterAndUser(
    { name: "c", server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
    { name: "u" },
  );
  api = createApi(config, { requestMsMax: 5000 });
});

after(async () => {
  server.closeAllConnections();
  server.close();
  await api.close();
});

beforeEach(() => {
  reviews = [];
  hung = [];
  nowMs = 1_000_000;
});

const tokens = (limits: { reviewMsMax?: number; keptMax?: number } = {}) =>
  createTokens({ api, audience: "mailroute", now: () => nowMs, ...limits });

const reviewed = (status: object) => ({ status: 201, body: { kind: "TokenReview", status } });
const good = reviewed({
  authenticated: true,
  user: { username: "system:serviceaccount:shop:orders" },
  audiences: ["mailroute"],
});

test("tokens: a token for us is its ServiceAccount, and is asked about once a minute", async () => {
  answer = good;
  const all = tokens();
  const token = tokenOf({ exp: 10_000 });
  const verdict = await all.check(token, "192.0.2.1");
  assert.equal(verdict.kind, "authenticated");
  assert.deepEqual([verdict.identity.name, verdict.identity.namespace], ["shop/orders", "shop"]);
  assert.deepEqual(reviews[0]?.spec, { token, audiences: ["mailroute"] });
  nowMs += 59_000;
  await all.check(token, "192.0.2.1");
  assert.equal(reviews.length, 1);
  nowMs += 2000;
  await all.check(token, "192.0.2.1");
  assert.equal(reviews.length, 2);
});

test("tokens: one that ends sooner is asked about again when it has ended", async () => {
  answer = good;
  const all = tokens();
  const token = tokenOf({ exp: 1010 });
  await all.check(token, "192.0.2.1");
  nowMs = 1_010_000;
  answer = reviewed({ authenticated: false });
  assert.equal((await all.check(token, "192.0.2.1")).kind, "invalid");
});

test("tokens: the same token at the same time is one question", async () => {
  answer = good;
  const all = tokens();
  const token = tokenOf({ exp: 10_000 });
  await Promise.all(Array.from({ length: 50 }, async () => await all.check(token, "192.0.2.1")));
  assert.equal(reviews.length, 1);
});

for (const [name, status] of [
  ["for another audience", { ...good.body.status, audiences: ["https://kubernetes.default.svc"] }],
  ["of which the API server tells no audience", { ...good.body.status, audiences: undefined }],
  ["of a person", { ...good.body.status, user: { username: "admin" } }],
  ["of a node", { ...good.body.status, user: { username: "system:node:n1" } }],
  ["that is not authenticated", { authenticated: false, error: "expired" }],
] as const) {
  test(`tokens: one ${name} is invalid`, async () => {
    answer = reviewed(status);
    assert.deepEqual(await tokens().check(tokenOf({}), "192.0.2.1"), { kind: "invalid" });
  });
}

test("tokens: an API server that refuses, fails or hangs makes nobody's token invalid", async () => {
  const all = tokens({ reviewMsMax: 1000 });
  for (const next of [
    { status: 403, body: { kind: "Status", message: "forbidden" } },
    { status: 500, body: {} },
    "hang",
  ] as const) {
    answer = next;
    assert.equal((await all.check(tokenOf({}), "192.0.2.1")).kind, "unavailable");
  }
  // And it is not remembered.
  answer = good;
  assert.equal((await all.check(tokenOf({}), "192.0.2.1")).kind, "authenticated");
});

test("tokens: one network's flood of wrong ones fills its own line, and another's is reviewed in turn", async () => {
  answer = "hang";
  const all = tokens();
  const of = async (network: string, number: number) =>
    await all.check(tokenOf({ network, number }), network);
  const flood = Array.from({ length: 200 }, async (_, number) => await of("192.0.2.1", number));
  const other = of("198.51.100.1", 0);
  // Beyond those under review and in line there is no answer for the flood, at once.
  const full = (await Promise.all(flood.slice(70))).map(({ kind }) => kind);
  assert.deepEqual(new Set(full), new Set(["unavailable"]));
  await until(() => hung.length === 20);
  answer = good;
  for (const finish of hung.splice(0)) finish();
  assert.equal((await other).kind, "authenticated");
  await Promise.all(flood);
  const order = reviews.map(({ spec }) => spec.token);
  assert.ok(order.indexOf(tokenOf({ network: "198.51.100.1", number: 0 })) <= 21, "not in turn");
});

test("tokens: wrong ones push no right one out of what is kept", async () => {
  answer = good;
  const all = tokens({ keptMax: 10 });
  const token = tokenOf({ exp: 10_000 });
  await all.check(token, "198.51.100.1");
  answer = reviewed({ authenticated: false });
  for (let number = 0; number < 20; number += 1)
    assert.equal((await all.check(tokenOf({ number }), "192.0.2.1")).kind, "invalid");
  const before = reviews.length;
  assert.equal(before, 21);
  assert.equal((await all.check(token, "198.51.100.1")).kind, "authenticated");
  assert.equal(reviews.length, before);
});

test("tokens: a password is no token, whatever its dots", () => {
  assert.equal(isToken(tokenOf({ exp: 1 })), true);
  for (const text of ["", "secret", "a.b.c", "my.own.password", `${tokenOf({})}x y`])
    assert.equal(isToken(text), false, text);
});
