/** Mail under MTA-STS: a real HTTPS host with the policy, real mail hosts, DNS as each test says. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import type { Tls } from "../../../routing/route.ts";
import { deliveryFor, hopTls, jobTo, never, routeTo } from "../delivery.testkit.ts";
import type { Delivery, DeliveryOptions } from "../delivery.ts";
import { misbehaving } from "../misbehaving.testkit.ts";
import type { MisbehavingOptions } from "../misbehaving-options.testkit.ts";
import type { Opened, StsEvent } from "../options.ts";
import type { NameResolver } from "../resolver.ts";

const file = (name: string): string =>
  readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
setDefaultCACertificates([...getCACertificates("default"), file("ca.pem")]);

const good = { cert: file("mx.pem"), key: file("mx.key") };
const wrongName = { cert: file("policy.pem"), key: file("policy.key") };
const day = 86_400_000;

const policyText = (mode: string, ...mx: readonly string[]): string =>
  [
    "version: STSv1",
    `mode: ${mode}`,
    ...mx.map((name) => `mx: ${name}`),
    "max_age: 604800",
    "",
  ].join("\r\n");

/** The domain's web host; what it answers can be changed. */
async function policyHost(tls: { cert: string; key: string }) {
  const asked: string[] = [];
  const host = {
    asked,
    port: 0,
    answer: (response: ServerResponse): void => {
      response.writeHead(404).end();
    },
    serve(text: string, type = "text/plain; charset=utf-8") {
      host.answer = (response) => response.writeHead(200, { "content-type": type }).end(text);
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const server = createServer(tls, (request, response) => {
    asked.push(`${request.method} ${request.headers.host?.split(":")[0]}${request.url}`);
    host.answer(response);
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  host.port = (server.address() as AddressInfo).port;
  return host;
}

type Bench = {
  readonly hop?: MisbehavingOptions;
  readonly web?: { cert: string; key: string };
  readonly delivery?: Partial<DeliveryOptions>;
};

async function bench(
  context: TestContext,
  { hop = { tls: good }, web = wrongName, ...more }: Bench = {},
) {
  const host = await policyHost(web);
  const next = await misbehaving(hop);
  const directory = mkdtempSync(join(tmpdir(), "mailroute-sts-"));
  const dns = { texts: ["v=STSv1; id=1;"], mx: ["mx1.to.test"], silent: false };
  const clock = { ms: Date.parse("2030-01-01T00:00:00Z") };
  const told: StsEvent[] = [];
  const opened: Opened[] = [];
  const resolver: NameResolver = {
    srv: async () => ({ kind: "none" }),
    mx: async () => ({
      kind: "records",
      records: dns.mx.map((exchange, preference) => ({ exchange, preference })),
    }),
    txt: async (name) => {
      if (dns.silent) return { kind: "unanswered", reason: "ETIMEOUT" };
      return name === "_mta-sts.to.test" ? { kind: "records", texts: dns.texts } : { kind: "none" };
    },
    addresses: async () => ({ kind: "addresses", addresses: ["127.0.0.1"] }),
    close() {},
  };
  const deliveries: Delivery[] = [];
  const start = (): Delivery => {
    const delivery = deliveryFor({
      resolver,
      mxDeniedNetworks: [],
      outboundPort: next.port,
      sts: { directory, port: host.port, now: () => clock.ms },
      events: {
        sts: (event) => told.push(event),
        connectionOpened: (event) => opened.push(event),
        bug: (error) => {
          throw error;
        },
      },
      ...more.delivery,
    });
    deliveries.push(delivery);
    return delivery;
  };
  const first = start();
  context.after(async () => {
    for (const delivery of deliveries) await delivery.close({ graceMs: 0 });
    await next.close();
    await host.close();
    rmSync(directory, { recursive: true });
  });
  const send = async (tls: Tls = { mode: "Opportunistic" }, delivery = first): Promise<string> => {
    const route = routeTo([], { target: { kind: "mx" }, tls });
    const [outcome] = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
    if (outcome?.kind === "deferred") return `deferred ${outcome.cause} ${outcome.reply.status}`;
    const message = next.messages.at(-1);
    const how = message?.secure ? "secure" : "clear";
    return `${outcome?.kind} ${outcome?.hop?.split(":")[0]} ${how}`;
  };
  return { host, next, dns, clock, told, opened, send, start };
}

const refused = "deferred tls 4.7.5";

test("mta-sts: a policy that enforces is fetched once, and its hosts are verified by name", async (context) => {
  const { host, told, opened, send } = await bench(context);
  host.serve(policyText("enforce", "mx1.to.test"));
  const both = await Promise.all([send(), send()]);
  assert.deepEqual(both, ["delivered mx1.to.test secure", "delivered mx1.to.test secure"]);
  assert.deepEqual(host.asked, ["GET mta-sts.to.test/.well-known/mta-sts.txt"]);
  assert.deepEqual(told, [{ domain: "to.test", result: "fetched", text: "enforce" }]);
  assert.deepEqual([opened[0]?.verified, opened[0]?.sts], [true, "enforce"]);
});

test("mta-sts: under enforce a host that the policy does not name gets nothing, whatever DNS prefers", async (context) => {
  const { host, next, dns, told, send } = await bench(context);
  host.serve(policyText("enforce", "mx2.to.test"));
  assert.equal(await send(), refused);
  assert.equal(next.sessions(), 0);
  dns.mx = ["mx1.to.test", "mx2.to.test"];
  assert.equal(await send(), "delivered mx2.to.test secure");
  assert.equal(next.sessions(), 1);
  assert.deepEqual(
    told.map(({ result, text }) => `${result} ${text}`),
    [
      "fetched enforce",
      "unlisted enforce: not named: mx1.to.test",
      "unlisted enforce: not named: mx1.to.test",
    ],
  );
});

const unfit: readonly { title: string; hop: MisbehavingOptions }[] = [
  { title: "offers no TLS", hop: {} },
  { title: "refuses STARTTLS", hop: { tls: good, startTls: "temp-454" } },
  { title: "breaks the handshake", hop: { tls: good, handshake: "garbage" } },
  { title: "has a certificate of another name", hop: { tls: wrongName } },
  { title: "has a certificate of a CA that nobody knows", hop: { tls: hopTls } },
];

for (const { title, hop } of unfit) {
  test(`mta-sts: under enforce mail waits where the host ${title}; never in clear text, whatever the route says`, async (context) => {
    const { host, next, send } = await bench(context, { hop });
    host.serve(policyText("enforce", "mx1.to.test"));
    const other = "mta-sts.to.test";
    for (const tls of [
      { mode: "Opportunistic" },
      { mode: "Disabled" },
      { mode: "Verified", serverName: other },
    ] as const) {
      assert.match(await send(tls), /^deferred tls /, tls.mode);
    }
    assert.deepEqual(next.messages, []);
  });
}

test("mta-sts: testing changes nothing but what is told", async (context) => {
  const { host, told, opened, send } = await bench(context, { hop: {} });
  host.serve(policyText("testing", "mx2.to.test"));
  assert.equal(await send(), "delivered mx1.to.test clear");
  assert.equal(told.at(-1)?.text, "testing: not named: mx1.to.test");
  assert.deepEqual([opened[0]?.verified, opened[0]?.sts], [false, "testing"]);
});

test("mta-sts: none asks for nothing", async (context) => {
  const { host, send, opened } = await bench(context, { hop: {} });
  host.serve(policyText("none"));
  assert.equal(await send(), "delivered mx1.to.test clear");
  assert.equal(opened[0]?.sts, undefined);
});

test("mta-sts: a policy's host is asked only where DNS has an id", async (context) => {
  const { host, dns, send } = await bench(context, { hop: {} });
  for (const texts of [[], ["v=spf1 -all"], ["v=STSv1; id=1", "v=STSv1; id=2"]]) {
    dns.texts = texts;
    assert.equal(await send(), "delivered mx1.to.test clear");
  }
  assert.deepEqual(host.asked, []);
});

const misfits: readonly {
  title: string;
  answer: (response: ServerResponse) => void;
  why: RegExp;
}[] = [
  { title: "is not found", answer: (to) => to.writeHead(404).end(), why: /answers 404/ },
  {
    title: "is a redirect",
    answer: (to) => to.writeHead(301, { location: "https://elsewhere.test/" }).end(),
    why: /answers 301/,
  },
  {
    title: "is a page",
    answer: (to) =>
      to.writeHead(200, { "content-type": "text/html" }).end(policyText("enforce", "mx2.to.test")),
    why: /answers text\/html/,
  },
  {
    title: "is no policy",
    answer: (to) => to.writeHead(200, { "content-type": "text/plain" }).end("hello"),
    why: /none of RFC 8461/,
  },
  {
    title: "is too long",
    answer: (to) =>
      to
        .writeHead(200, { "content-type": "text/plain" })
        .end(policyText("enforce", "mx2.to.test").padEnd(65_537)),
    why: /more than 65536 bytes/,
  },
];

for (const { title, answer, why } of misfits) {
  test(`mta-sts: without another one known, a policy that ${title} is none, and is not asked for with each message`, async (context) => {
    const { host, clock, told, send } = await bench(context, { hop: {} });
    host.answer = answer;
    assert.equal(await send(), "delivered mx1.to.test clear");
    assert.equal(await send(), "delivered mx1.to.test clear");
    assert.equal(host.asked.length, 1);
    assert.match(told[0]?.text ?? "", why);
    clock.ms += 300_000;
    host.serve(policyText("enforce", "mx1.to.test"));
    assert.equal(await send(), refused);
  });
}

test("mta-sts: a policy's host must have a certificate of its own name", async (context) => {
  const { host, told, send } = await bench(context, { hop: {}, web: good });
  host.serve(policyText("enforce", "mx2.to.test"));
  assert.equal(await send(), "delivered mx1.to.test clear");
  assert.match(told[0]?.text ?? "", /altnames/);
  assert.deepEqual(host.asked, []);
});

test("mta-sts: a policy's host in a network where no mail host may be is not asked", async (context) => {
  const delivery = { mxDeniedNetworks: ["127.0.0.0/8"] };
  const { host, told, send } = await bench(context, { delivery });
  host.serve(policyText("enforce", "mx1.to.test"));
  await send();
  assert.match(told[0]?.text ?? "", /127\.0\.0\.1, in a network that may not be reached/);
  assert.deepEqual(host.asked, []);
});

test("mta-sts: what is known holds to its end, through restarts, without DNS and without its host", async (context) => {
  const { host, next, dns, clock, send, start } = await bench(context, { hop: {} });
  host.serve(policyText("enforce", "mx1.to.test"));
  assert.equal(await send(), refused);
  dns.silent = true;
  host.answer = (response) => response.writeHead(503).end();
  assert.equal(await send(), refused);
  clock.ms += 6 * day;
  const restarted = start();
  assert.equal(await send({ mode: "Opportunistic" }, restarted), refused);
  dns.silent = false;
  dns.texts = ["v=STSv1; id=2;"];
  assert.equal(
    await send({ mode: "Opportunistic" }, restarted),
    refused,
    "the new one cannot be had",
  );
  dns.texts = [];
  assert.equal(await send({ mode: "Opportunistic" }, restarted), refused);
  assert.equal(next.messages.length, 0);
  clock.ms += day;
  assert.equal(await send({ mode: "Opportunistic" }, restarted), "delivered mx1.to.test clear");
});

test("mta-sts: a new id brings a new policy, and connections of before are not used under it", async (context) => {
  const { host, next, dns, opened, send } = await bench(context);
  host.serve(policyText("none"));
  await send();
  host.serve(policyText("enforce", "mx1.to.test"));
  assert.equal(await send(), "delivered mx1.to.test secure");
  assert.equal(host.asked.length, 1);
  dns.texts = ["v=STSv1; id=2;"];
  assert.equal(await send(), "delivered mx1.to.test secure");
  assert.equal(host.asked.length, 2);
  assert.equal(next.sessions(), 2);
  assert.deepEqual(
    opened.map(({ sts }) => sts),
    [undefined, "enforce"],
  );
});

test("mta-sts: after a day the same policy is fetched again, while mail goes on", async (context) => {
  const { host, clock, told, send } = await bench(context);
  host.serve(policyText("enforce", "mx1.to.test"));
  await send();
  clock.ms += day;
  await send();
  while (told.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  clock.ms += 6.5 * day;
  assert.equal(await send(), "delivered mx1.to.test secure");
  assert.equal(told.filter(({ result }) => result === "fetched").length >= 2, true);
});
