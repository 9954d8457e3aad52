/** Logins by OAuth2, against a real token endpoint and a real next hop: what is fetched, shown, kept and told. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Auth, Route } from "../../../routing/route.ts";
import { deliveryFor, fixture, hopTls, jobTo, never, routeTo } from "../delivery.testkit.ts";
import type { Credential, DeliveryOptions } from "../delivery.ts";
import { misbehaving } from "../misbehaving.testkit.ts";
import type { DeliveryEvents, Opened, TokenEvent } from "../options.ts";
import {
  type EndpointAnswer,
  type EndpointTls,
  refusal,
  token,
  tokenEndpoint,
} from "./token-endpoint.testkit.ts";

const clientSecret = "s3cr3t/+&=";
const ca = { secret: "mail/ca", version: "1" };

async function bench(
  context: TestContext,
  more: Partial<DeliveryOptions> & { tls?: EndpointTls } = {},
) {
  const { tls, ...options } = more;
  const endpoint = await tokenEndpoint(tls);
  const bearers = new Set(["us@from.test token-1"]);
  const next = await misbehaving({ tls: hopTls, bearers });
  const stock = new Map<string, Credential>([
    ["mail/ca 1", { ca: fixture("ca.pem") }],
    ["mail/app 1", { username: "us@from.test", clientSecret, ca: fixture("ca.pem") }],
  ]);
  const told: TokenEvent[] = [];
  const opened: Opened[] = [];
  const rested: string[] = [];
  const events: DeliveryEvents = {
    token: (event) => told.push(event),
    connectionOpened: (event) => opened.push(event),
    hostRested: ({ cause }) => rested.push(cause),
    bug: (error) => {
      throw error;
    },
  };
  const delivery = deliveryFor({
    credentials: { get: ({ secret, version }) => stock.get(`${secret} ${version}`) },
    events,
    ...options,
    limits: { tokenMsMax: 1000, ...options.limits },
  });
  context.after(async () => {
    await delivery.close({ graceMs: 0 });
    await next.close();
    await endpoint.close();
  });
  const route = (auth: Partial<Auth> = {}, overrides: Partial<Route> = {}): Route =>
    routeTo([{ port: next.port }], {
      tls: { mode: "Verified", ca, serverName: "hop.test" },
      auth: {
        kind: "oauth2",
        tokenURL: endpoint.url,
        clientID: "app id",
        scope: "https://mail.test/.default",
        credential: { secret: "mail/app", version: "1" },
        ...auth,
      } as Auth,
      ...overrides,
    });
  const send = async (to: Route = route()) => {
    const [outcome] = await delivery.deliver(jobTo(to, ["a@to.test"]), never);
    return outcome;
  };
  return { endpoint, bearers, next, stock, told, opened, rested, route, send };
}

test("oauth2: one token is fetched for all connections and shown by XOAUTH2", async (context) => {
  const { endpoint, next, told, opened, route, send } = await bench(context);
  const outcomes = await Promise.all(Array.from({ length: 12 }, () => send(route())));
  assert.deepEqual(new Set(outcomes.map((outcome) => outcome?.kind)), new Set(["delivered"]));
  assert.equal(endpoint.asked.length, 1);
  const [asked] = endpoint.asked;
  assert.deepEqual(Object.fromEntries(asked?.form ?? []), {
    grant_type: "client_credentials",
    client_id: "app id",
    client_secret: clientSecret,
    scope: "https://mail.test/.default",
  });
  assert.equal(asked?.path, "/token");
  assert.equal(next.messages[0]?.login, "us@from.test token-1");
  assert.deepEqual(
    told.map(({ result, secret }) => [result, secret]),
    [["fetched", "mail/app"]],
  );
  assert.equal(told[0]?.endpoint, new URL(endpoint.url).host);
  const [connection] = opened;
  assert.equal(connection?.mechanism, "XOAUTH2");
  assert.equal(connection?.verified, true);
});

test("oauth2: an endpoint that takes the client's secret in the header only is asked so from then on", async (context) => {
  const { endpoint, stock, send, route } = await bench(context);
  endpoint.answer = ({ authorization }, number) =>
    authorization === undefined
      ? refusal("invalid_client", "no credentials")
      : token(`token-${number - 1}`, 20);
  assert.equal((await send())?.kind, "delivered");
  const pair = Buffer.from(
    endpoint.asked[1]?.authorization?.replace("Basic ", "") ?? "",
    "base64",
  ).toString();
  assert.equal(pair, "app+id:s3cr3t%2F%2B%26%3D");
  assert.equal(endpoint.asked[1]?.form.has("client_secret"), false);
  assert.equal(stock.size, 2);
  assert.equal((await send(route()))?.kind, "delivered");
});

test("oauth2: a client that is refused waits, rests the host, and is a problem in clear words", async (context) => {
  const { endpoint, next, told, rested, send } = await bench(context);
  endpoint.answer = () =>
    refusal("invalid_client", `E7000215: Invalid client secret ${clientSecret}\r\nprovided`);
  const outcome = await send();
  assert.equal(outcome?.kind, "deferred");
  assert.equal(outcome?.kind === "deferred" && outcome.cause, "auth");
  assert.doesNotMatch(JSON.stringify(outcome), /E7000215|invalid|s3cr3t/);
  assert.deepEqual(rested, ["auth"]);
  const why = told[0]?.why ?? "";
  assert.match(
    why,
    /^it refuses us, invalid_client: E7000215: Invalid client secret \(secret\) provided$/,
  );
  assert.equal(next.sessions(), 0, "nothing was connected for which there is no login");
  const askedBefore = endpoint.asked.length;
  await Promise.all(Array.from({ length: 20 }, () => send()));
  assert.equal(
    endpoint.asked.length,
    askedBefore,
    "an endpoint that has failed is left alone for a while",
  );
});

const failures: readonly { title: string; answer: EndpointAnswer; why: RegExp }[] = [
  { title: "is down inside", answer: { status: 500, body: "oops" }, why: /answers 500/ },
  { title: "throttles", answer: { status: 429, body: "{}" }, why: /answers 429/ },
  { title: "says nothing", answer: "hang", why: /no answer within 1000 ms/ },
  { title: "hangs up", answer: "drop", why: /socket hang up|ECONNRESET/ },
  { title: "never ends", answer: "endless", why: /more than 65536 bytes/ },
  { title: "answers no JSON", answer: { status: 200, body: "<html>" }, why: /no bearer token/ },
  {
    title: "gives another kind of token",
    answer: { status: 200, body: '{"access_token":"x","token_type":"mac"}' },
    why: /no bearer token/,
  },
  {
    title: "gives a token that would write a command of its own",
    answer: {
      status: 200,
      body: JSON.stringify({ access_token: "x\r\nRSET", token_type: "Bearer" }),
    },
    why: /no bearer token/,
  },
];

for (const { title, answer, why } of failures) {
  test(`oauth2: mail waits where the endpoint ${title}`, async (context) => {
    const { endpoint, next, told, send } = await bench(context);
    endpoint.answer = () => answer;
    const outcome = await send();
    assert.equal(outcome?.kind === "deferred" && outcome.cause, "auth");
    assert.match(told[0]?.why ?? "", why);
    assert.equal(told[0]?.result, "failed");
    assert.equal(next.sessions(), 0);
  });
}

test("oauth2: a redirect is not followed, and the secret goes nowhere else", async (context) => {
  const { endpoint, told, send } = await bench(context);
  const other = await tokenEndpoint();
  context.after(async () => await other.close());
  endpoint.answer = () => ({ status: 307, headers: { location: other.url } });
  const outcome = await send();
  assert.equal(outcome?.kind === "deferred" && outcome.cause, "auth");
  assert.match(told[0]?.why ?? "", /answers 307: redirects are not followed/);
  assert.equal(other.asked.length, 0);
});

test("oauth2: no secret is shown to an endpoint whose certificate is for another name or of another CA", async (context) => {
  const foreign = { cert: fixture("other.pem"), key: fixture("other.key") };
  const { endpoint, told, send } = await bench(context, { tls: foreign });
  assert.equal((await send())?.kind, "deferred");
  assert.match(told[0]?.why ?? "", /does not match certificate's altnames/);
  assert.equal(endpoint.asked.length, 0);

  const unknown = await bench(context);
  unknown.stock.set("mail/app 1", { username: "us@from.test", clientSecret });
  assert.equal((await unknown.send())?.kind, "deferred");
  assert.match(unknown.told[0]?.why ?? "", /certificate/);
  assert.equal(unknown.endpoint.asked.length, 0);
});

test("oauth2: an endpoint in a denied network is asked only where a grant names its address", async (context) => {
  const { endpoint, next, told, route, send } = await bench(context);
  const { reach: _, ...tenants } = route();
  const mailOnly: Route = { ...tenants, target: { kind: "inbound" } };
  const named: Route = { ...tenants, reach: ["127.0.0.1/32"] };
  assert.equal((await send({ ...tenants, reach: ["10.0.0.0/8"] }))?.kind, "deferred");
  assert.match(
    told[0]?.why ?? "",
    /localhost is at 127\.0\.0\.1, ::1, in a network that may not be reached/,
  );
  assert.equal((await send(mailOnly))?.kind, "deferred");
  assert.equal(endpoint.asked.length + next.sessions(), 0);
  assert.equal((await send(named))?.kind, "delivered");
});

test("oauth2: a token that the next hop refuses is replaced once", async (context) => {
  const { endpoint, bearers, next, send } = await bench(context, {
    limits: { messagesPerConnectionMax: 1 },
  });
  assert.equal((await send())?.kind, "delivered");
  bearers.clear();
  bearers.add("us@from.test token-2");
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => send()));
  assert.deepEqual(new Set(outcomes.map((outcome) => outcome?.kind)), new Set(["delivered"]));
  assert.equal(endpoint.asked.length, 2);
  assert.equal(next.messages.at(-1)?.login, "us@from.test token-2");
});

test("oauth2: a next hop that refuses every token does not make us fetch one for each message", async (context) => {
  const { endpoint, bearers, rested, send } = await bench(context, {
    limits: { restMsMin: 1, restMsMax: 1 },
  });
  bearers.clear();
  for (let message = 0; message < 5; message++) {
    const outcome = await send();
    assert.equal(outcome?.kind === "deferred" && outcome.cause, "auth");
    assert.equal(outcome?.reply.code, 535);
  }
  assert.equal(endpoint.asked.length, 2);
  assert.equal(rested[0], "auth");
});

test("oauth2: a rotated Secret makes a new token with no restart, and other connections", async (context) => {
  const { endpoint, bearers, next, stock, route, send } = await bench(context);
  endpoint.answer = ({ form }, number) =>
    form.get("client_secret") === "new one" ? token(`token-${number}`) : token("token-1");
  assert.equal((await send())?.kind, "delivered");
  stock.set("mail/app 2", {
    username: "us@from.test",
    clientSecret: "new one",
    ca: fixture("ca.pem"),
  });
  bearers.clear();
  bearers.add("us@from.test token-2");
  const rotated = route({ credential: { secret: "mail/app", version: "2" } });
  assert.equal((await send(rotated))?.kind, "delivered");
  assert.deepEqual(
    next.messages.map(({ login, session }) => [login, session]),
    [
      ["us@from.test token-1", 1],
      ["us@from.test token-2", 2],
    ],
  );
});

test("oauth2: another client or scope with the same Secret is another token and another connection", async (context) => {
  const { endpoint, bearers, next, route, send } = await bench(context);
  bearers.add("us@from.test token-2").add("us@from.test token-3");
  await send(route());
  await send(route({ scope: "other" } as Partial<Auth>));
  await send(route({ clientID: "other" } as Partial<Auth>));
  assert.equal(endpoint.asked.length, 3);
  assert.equal(next.sessions(), 3);
});

test("oauth2: a next hop without XOAUTH2 waits", async (context) => {
  const { send, route } = await bench(context);
  const plain = await misbehaving({ tls: hopTls, logins: ["us@from.test:token-1"] });
  context.after(async () => await plain.close());
  const { auth } = route();
  const tls = { mode: "Verified" as const, ca, serverName: "hop.test" };
  const to = routeTo([{ port: plain.port }], { tls, ...(auth === undefined ? {} : { auth }) });
  const outcome = await send(to);
  assert.equal(outcome?.kind === "deferred" && outcome.cause, "auth");
  assert.match(outcome?.reply.text ?? "", /offers no AUTH XOAUTH2/);
});
