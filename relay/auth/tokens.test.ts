import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
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

before(async () => {
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    request.on("end", () => {
      reviews.push(JSON.parse(text) as (typeof reviews)[number]);
      if (answer === "hang") return;
      response.statusCode = answer.status;
      response.end(JSON.stringify(answer.body));
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
  nowMs = 1_000_000;
});

const tokens = (reviewMsMax = 5000) =>
  createTokens({ api, audience: "mailroute", now: () => nowMs, reviewMsMax });

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
  const verdict = await all.check(token);
  assert.equal(verdict.kind, "authenticated");
  assert.deepEqual([verdict.identity.name, verdict.identity.namespace], ["shop/orders", "shop"]);
  assert.deepEqual(reviews[0]?.spec, { token, audiences: ["mailroute"] });
  nowMs += 59_000;
  await all.check(token);
  assert.equal(reviews.length, 1);
  nowMs += 2000;
  await all.check(token);
  assert.equal(reviews.length, 2);
});

test("tokens: one that ends sooner is asked about again when it has ended", async () => {
  answer = good;
  const all = tokens();
  const token = tokenOf({ exp: 1010 });
  await all.check(token);
  nowMs = 1_010_000;
  answer = reviewed({ authenticated: false });
  assert.equal((await all.check(token)).kind, "invalid");
});

test("tokens: the same token at the same time is one question", async () => {
  answer = good;
  const all = tokens();
  const token = tokenOf({ exp: 10_000 });
  await Promise.all(Array.from({ length: 50 }, async () => await all.check(token)));
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
    assert.deepEqual(await tokens().check(tokenOf({})), { kind: "invalid" });
  });
}

test("tokens: an API server that refuses, fails or hangs makes nobody's token invalid", async () => {
  const all = tokens(1000);
  for (const next of [
    { status: 403, body: { kind: "Status", message: "forbidden" } },
    { status: 500, body: {} },
    "hang",
  ] as const) {
    answer = next;
    assert.equal((await all.check(tokenOf({}))).kind, "unavailable");
  }
  // And it is not remembered.
  answer = good;
  assert.equal((await all.check(tokenOf({}))).kind, "authenticated");
});

test("tokens: a password is no token, whatever its dots", () => {
  assert.equal(isToken(tokenOf({ exp: 1 })), true);
  for (const text of ["", "secret", "a.b.c", "my.own.password", `${tokenOf({})}x y`])
    assert.equal(isToken(text), false, text);
});
