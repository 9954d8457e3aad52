import assert from "node:assert/strict";
import { test } from "node:test";
import type { Auth, Route, Tls } from "../../routing/route.ts";
import { deliveryFor, fixture, hopTls, jobTo, never, routeTo } from "./delivery.testkit.ts";
import type { Credential } from "./delivery.ts";
import { misbehaving } from "./misbehaving.testkit.ts";
import type { MisbehavingOptions } from "./misbehaving-options.testkit.ts";

const secret = (name: string) => ({ secret: name, version: "1" });
const ca = secret("ca");
const auth: Auth = { kind: "basic", credential: secret("login") };

const stock = new Map<string, Credential>([
  ["ca", { ca: fixture("ca.pem") }],
  ["stranger", { ca: fixture("stranger-ca.pem") }],
  ["broken", { ca: "no certificate" }],
  ["login", { username: "us", password: "pass:word" }],
  ["wrong", { username: "us", password: "wrong" }],
  ["empty", { username: "us" }],
  ["app", { username: "us", clientSecret: "s3cret" }],
  ["client", { cert: fixture("client.pem"), key: fixture("client.key") }],
]);
const credentials = { get: ({ secret: name }: { secret: string }) => stock.get(name) };

type Case = {
  readonly title: string;
  readonly tls: Tls;
  readonly auth?: Auth;
  readonly hop?: MisbehavingOptions;
  /** "secure", "clear", or the cause of a deferral. */
  readonly want: string;
  readonly login?: string;
};

const hop: MisbehavingOptions = { tls: hopTls };
const noTls: MisbehavingOptions = {};
const withLogin: MisbehavingOptions = { tls: hopTls, logins: ["us:pass:word"] };
const otherTls = { cert: fixture("other.pem"), key: fixture("other.key") };
const verified: Tls = { mode: "Verified", ca, serverName: "hop.test" };

const cases: readonly Case[] = [
  { title: "Disabled stays in the clear", tls: { mode: "Disabled" }, hop, want: "clear" },
  {
    title: "Opportunistic takes any certificate",
    tls: { mode: "Opportunistic" },
    hop,
    want: "secure",
  },
  {
    title: "Opportunistic does without where none is offered",
    tls: { mode: "Opportunistic" },
    hop: noTls,
    want: "clear",
  },
  {
    title: "Opportunistic goes on where STARTTLS is refused",
    tls: { mode: "Opportunistic" },
    hop: { ...hop, startTls: "temp-454" },
    want: "clear",
  },
  {
    title: "Opportunistic starts again in the clear after a broken handshake",
    tls: { mode: "Opportunistic" },
    hop: { ...hop, handshake: "garbage" },
    want: "clear",
  },
  {
    title: "Opportunistic starts again in the clear after a silent handshake",
    tls: { mode: "Opportunistic" },
    hop: { ...hop, handshake: "hang" },
    want: "clear",
  },
  { title: "Required takes any certificate", tls: { mode: "Required" }, hop, want: "secure" },
  {
    title: "Required waits where none is offered",
    tls: { mode: "Required" },
    hop: noTls,
    want: "tls",
  },
  {
    title: "Required waits where STARTTLS is refused",
    tls: { mode: "Required" },
    hop: { ...hop, startTls: "perm-554" },
    want: "tls",
  },
  {
    title: "Required waits after a broken handshake",
    tls: { mode: "Required" },
    hop: { ...hop, handshake: "garbage" },
    want: "tls",
  },
  {
    title: "Required waits after a silent handshake",
    tls: { mode: "Required" },
    hop: { ...hop, handshake: "hang" },
    want: "tls",
  },
  {
    title: "Required with a CA takes its certificates",
    tls: { mode: "Required", ca, serverName: "hop.test" },
    hop,
    want: "secure",
  },
  {
    title: "Required with a CA takes no other",
    tls: { mode: "Required", ca: secret("stranger"), serverName: "hop.test" },
    hop,
    want: "tls",
  },
  {
    title: "Verified takes a certificate of the CA for the name",
    tls: verified,
    hop,
    want: "secure",
  },
  {
    title: "Verified takes the host's own address where no name is given",
    tls: { mode: "Verified", ca },
    hop,
    want: "secure",
  },
  { title: "Verified refuses another name", tls: verified, hop: { tls: otherTls }, want: "tls" },
  {
    title: "Verified refuses a CA that nobody knows",
    tls: { mode: "Verified", serverName: "hop.test" },
    hop,
    want: "tls",
  },
  { title: "Verified waits where none is offered", tls: verified, hop: noTls, want: "tls" },
  {
    title: "a client certificate is shown",
    tls: { ...verified, clientCertificate: secret("client") },
    hop: { tls: { ...hopTls, clientCa: fixture("ca.pem") } },
    want: "secure",
  },
  {
    title: "a CA that is not here waits",
    tls: { ...verified, ca: secret("absent") },
    hop,
    want: "credentials",
  },
  {
    title: "a CA that is none waits",
    tls: { ...verified, ca: secret("broken") },
    hop,
    want: "credentials",
  },
  {
    title: "a Secret without the CA waits, and does not fall back on the system's",
    tls: { ...verified, ca: secret("login") },
    hop,
    want: "credentials",
  },
  {
    title: "AUTH PLAIN goes over a verified connection",
    tls: verified,
    auth,
    hop: withLogin,
    want: "secure",
    login: "us:pass:word",
  },
  {
    title: "AUTH PLAIN goes over Required with a CA",
    tls: { ...verified, mode: "Required" },
    auth,
    hop: withLogin,
    want: "secure",
    login: "us:pass:word",
  },
  {
    title: "no password is shown to a certificate that nobody checks",
    tls: { mode: "Required" },
    auth,
    hop: withLogin,
    want: "tls",
  },
  {
    title: "no password is shown where TLS may be missing",
    tls: { mode: "Opportunistic", ca },
    auth,
    hop: withLogin,
    want: "tls",
  },
  {
    title: "a wrong password is not the sender's fault",
    tls: verified,
    auth: { kind: "basic", credential: secret("wrong") },
    hop: withLogin,
    want: "auth",
  },
  {
    title: "an authentication server that is down waits",
    tls: verified,
    auth,
    hop: { ...withLogin, auth: "temp-454" },
    want: "auth",
  },
  { title: "a next hop without AUTH waits", tls: verified, auth, hop, want: "auth" },
  {
    title: "a silent AUTH waits",
    tls: verified,
    auth,
    hop: { ...withLogin, auth: "hang" },
    want: "timeout",
  },
  {
    title: "a password that is not here waits",
    tls: verified,
    auth: { kind: "basic", credential: secret("absent") },
    hop: withLogin,
    want: "credentials",
  },
  {
    title: "a Secret without a password waits",
    tls: verified,
    auth: { kind: "basic", credential: secret("empty") },
    hop: withLogin,
    want: "credentials",
  },
  {
    title: "a Secret without a client-secret waits",
    tls: verified,
    auth: {
      kind: "oauth2",
      tokenURL: "https://x.test/",
      clientID: "x",
      credential: secret("login"),
    },
    hop: withLogin,
    want: "credentials",
  },
  {
    title: "no access token is shown to a certificate that nobody checks",
    tls: { mode: "Required" },
    auth: { kind: "oauth2", tokenURL: "https://x.test/", clientID: "x", credential: secret("app") },
    hop: withLogin,
    want: "tls",
  },
];

for (const { title, tls, auth: login, hop: manners = {}, want, login: shown } of cases) {
  test(`secrets: ${title}`, async () => {
    const next = await misbehaving(manners);
    const delivery = deliveryFor({ credentials });
    const overrides: Partial<Route> = login === undefined ? { tls } : { tls, auth: login };
    const job = jobTo(routeTo([{ port: next.port }], overrides), ["a@to.test"]);
    const [outcome] = await delivery.deliver(job, never);
    const [message] = next.messages;
    const got =
      message === undefined
        ? outcome?.kind === "deferred" && outcome.cause
        : message.secure
          ? "secure"
          : "clear";
    assert.equal(got, want, JSON.stringify(outcome));
    assert.equal(message?.login, shown);
    const said = next.commands.filter((line) => line.includes("AUTH"));
    if (want === "tls" || want === "credentials") assert.deepEqual(said, []);
    await delivery.close({ graceMs: 0 });
    await next.close();
  });
}

test("secrets: AUTH LOGIN where PLAIN is not offered", async () => {
  const next = await misbehaving({ ...withLogin, plain: false });
  const delivery = deliveryFor({ credentials });
  const job = jobTo(routeTo([{ port: next.port }], { tls: verified, auth }), ["a@to.test"]);
  await delivery.deliver(job, never);
  assert.equal(next.messages[0]?.login, "us:pass:word");
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("secrets: another version of the password means another connection", async () => {
  const next = await misbehaving(withLogin);
  const delivery = deliveryFor({ credentials });
  for (const version of ["1", "1", "2"]) {
    const route = routeTo([{ port: next.port }], {
      tls: verified,
      auth: { kind: "basic", credential: { secret: "login", version } },
    });
    await delivery.deliver(jobTo(route, ["a@to.test"]), never);
  }
  assert.equal(next.sessions(), 2);
  await delivery.close({ graceMs: 0 });
  await next.close();
});

test("secrets: a wrong password is not tried with every message", async () => {
  const rested: string[] = [];
  const next = await misbehaving({ ...withLogin, logins: [] });
  const delivery = deliveryFor({
    credentials,
    events: { hostRested: ({ cause }) => rested.push(cause) },
  });
  const route = routeTo([{ port: next.port }], { tls: verified, auth });
  await Promise.all(
    Array.from({ length: 50 }, () => delivery.deliver(jobTo(route, ["a@to.test"]), never)),
  );
  assert.deepEqual(rested, ["auth"]);
  assert.ok(next.sessions() <= 20);
  await delivery.close({ graceMs: 0 });
  await next.close();
});
