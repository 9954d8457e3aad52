/** When tokens are fetched, by a clock of the test's own; the endpoint is a real one. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { alwaysDenied, networkSet } from "../../../routing/network.ts";
import { fixture } from "../delivery.testkit.ts";
import { createResolver } from "../resolver.ts";
import { refusal, token, tokenEndpoint } from "./token-endpoint.testkit.ts";
import { Tokens, type TokenWish } from "./tokens.ts";

async function bench(context: TestContext) {
  const endpoint = await tokenEndpoint();
  const resolver = createResolver();
  context.after(async () => {
    resolver.close();
    await endpoint.close();
  });
  const clock = { ms: 0 };
  const results: string[] = [];
  let heard: (() => void) | undefined;
  const tokens = new Tokens({
    resolver,
    denied: networkSet(alwaysDenied),
    events: {
      token({ result }) {
        results.push(result);
        heard?.();
      },
    },
    now: () => clock.ms,
    random: () => 0.5,
    limits: { restMsMin: 5000, restMsMax: 300_000, tokenMsMax: 2000 },
  });
  const wish: TokenWish = {
    auth: {
      kind: "oauth2",
      tokenURL: endpoint.url,
      clientID: "app",
      credential: { secret: "mail/app", version: "1" },
    },
    clientSecret: "s3cret",
    ca: fixture("ca.pem"),
    reach: "anywhere",
    signal: new AbortController().signal,
  };
  /** The next event; ask before causing it. */
  const told = async () =>
    await new Promise<void>((resolve) => {
      heard = resolve;
    });
  return { endpoint, tokens, wish, clock, results, told };
}

test("tokens: one is renewed ahead of its end, and serves until the new one is here", async (context) => {
  const { endpoint, tokens, wish, clock, told } = await bench(context);
  assert.equal(await tokens.get(wish), "token-1");
  clock.ms = 2_700_000;
  assert.equal(await tokens.get(wish), "token-1");
  assert.equal(endpoint.asked.length, 1);
  clock.ms = 2_800_000;
  const renewed = told();
  assert.equal(await tokens.get(wish), "token-1");
  await renewed;
  assert.equal(await tokens.get(wish), "token-2");
});

test("tokens: one that has ended is not shown, and a new one is waited for", async (context) => {
  const { endpoint, tokens, wish, clock } = await bench(context);
  await tokens.get(wish);
  clock.ms = 3_571_000;
  assert.equal(await tokens.get(wish), "token-2");
  assert.equal(endpoint.asked.length, 2);
});

test("tokens: while an endpoint fails, the token in hand serves until its end and no longer", async (context) => {
  const { endpoint, tokens, wish, clock, told } = await bench(context);
  await tokens.get(wish);
  endpoint.answer = () => ({ status: 503 });
  clock.ms = 2_800_000;
  const failed = told();
  assert.equal(await tokens.get(wish), "token-1");
  await failed;
  clock.ms = 3_569_000;
  const again = told();
  assert.equal(await tokens.get(wish), "token-1");
  await again;
  clock.ms = 3_590_000;
  assert.equal(await tokens.get(wish), undefined);
});

test("tokens: an endpoint that fails is asked ever more seldom, and at once again after it has given one", async (context) => {
  const { endpoint, tokens, wish, clock, results } = await bench(context);
  endpoint.answer = () => refusal("invalid_scope", "no");
  const askedAt: number[] = [];
  for (clock.ms = 0; clock.ms < 100_000; clock.ms += 1000) {
    const before = endpoint.asked.length;
    assert.equal(await tokens.get(wish), undefined);
    if (endpoint.asked.length > before) askedAt.push(clock.ms / 1000);
  }
  assert.deepEqual(askedAt, [0, 5, 15, 35, 75]);
  endpoint.answer = () => token("good", 100);
  clock.ms = 200_000;
  assert.equal(await tokens.get(wish), "good");
  clock.ms += 100_000;
  assert.equal(await tokens.get(wish), "good");
  assert.deepEqual(results.slice(-2), ["fetched", "fetched"]);
});
