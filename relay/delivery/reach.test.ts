/** What `Route.reach` allows, with real sockets: nobody's host name opens the inside of the cluster to him. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Route } from "../../routing/route.ts";
import { deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";
import type { DeliveryOptions } from "./delivery.ts";
import { misbehaving } from "./misbehaving.testkit.ts";
import type { NameResolver } from "./resolver.ts";

/** Names that lead where their owner likes. */
const names: Readonly<Record<string, readonly string[]>> = {
  "inside.test": ["127.0.0.1"],
  "mapped.test": ["::ffff:127.0.0.1"],
  "both.test": ["127.0.0.2", "127.0.0.1"],
  "service.test": ["192.0.2.1"],
};

const resolver: NameResolver = {
  srv: async () => ({ kind: "none" }),
  mx: async (domain) => ({
    kind: "records",
    records: [{ exchange: domain, preference: 1 }],
  }),
  txt: async () => ({ kind: "none" }),
  async addresses(host) {
    return { kind: "addresses", addresses: names[host] ?? [host] };
  },
  close() {},
};

async function bench(context: TestContext, more: Partial<DeliveryOptions> = {}) {
  const next = await misbehaving();
  const delivery = deliveryFor({ resolver, ...more });
  context.after(async () => {
    await delivery.close({ graceMs: 0 });
    await next.close();
  });
  const send = async (route: Route, domain = "to.test"): Promise<string> => {
    const [outcome] = await delivery.deliver(jobTo(route, [`a@${domain}`], { domain }), never);
    const cause = outcome?.kind === "deferred" ? ` ${outcome.cause}` : "";
    return `${outcome?.kind}${cause} ${outcome?.reply.status}`;
  };
  const to = (host: string, reach?: Route["reach"]): Route => {
    const { reach: _, ...route } = routeTo([{ host, port: next.port }]);
    return reach === undefined ? route : { ...route, reach };
  };
  return { next, delivery, send, to };
}

const refused = "deferred unavailable 4.3.5";
const taken = "delivered 2.0.0";

test("reach: without it loopback is not connected to, as a literal, by name, in no spelling", async (context) => {
  const { next, send, to } = await bench(context);
  for (const host of ["127.0.0.1", "inside.test", "mapped.test", "both.test"]) {
    assert.equal(await send(to(host)), refused, host);
    assert.equal(await send(to(host, ["10.0.0.0/8"])), refused, host);
  }
  assert.equal(next.sessions(), 0);
});

test("reach: what a grant names is reached, and of a host's addresses only those", async (context) => {
  const { next, send, to } = await bench(context);
  for (const host of ["127.0.0.1", "inside.test", "mapped.test", "both.test"]) {
    assert.equal(await send(to(host, ["127.0.0.1/32"])), taken, host);
  }
  assert.equal(next.messages.length, 4);
});

test("reach: the installation's own routes go anywhere", async (context) => {
  const { send, to } = await bench(context, { deniedNetworks: ["127.0.0.0/8"] });
  assert.equal(await send(to("inside.test", "anywhere")), taken);
});

test("reach: a connection that another route may have is not for a route that may not", async (context) => {
  const { next, send, to } = await bench(context);
  assert.equal(await send(to("inside.test", "anywhere")), taken);
  assert.equal(await send(to("inside.test")), refused);
  assert.equal(await send(to("inside.test", ["10.0.0.0/8"])), refused);
  assert.equal(next.messages.length, 1);
});

test("reach: the networks that the installation denies are refused before any connection", async (context) => {
  const { send, to } = await bench(context, { deniedNetworks: ["192.0.2.0/24"] });
  assert.equal(await send(to("service.test")), refused);
  assert.equal(await send(to("192.0.2.77")), refused);
});

test("reach: the next host is asked, and the words name the rule", async (context) => {
  const { next, delivery, send } = await bench(context);
  const hosts = [
    { host: "127.0.0.2", port: next.port, priority: 1 },
    { host: "inside.test", port: next.port, priority: 2 },
  ];
  assert.equal(await send(routeTo(hosts, { reach: ["127.0.0.1"] })), taken);
  const job = jobTo(routeTo(hosts, { reach: [] }), ["a@to.test"]);
  const [outcome] = await delivery.deliver(job, never);
  assert.match(outcome?.reply.text ?? "", /inside\.test:\d+ is at 127\.0\.0\.1, in a network that/);
  assert.match(outcome?.reply.text ?? "", /targets\.hosts of the MailGrant/);
});

test("reach: a host that is only out of reach is not rested", async (context) => {
  const rested: string[] = [];
  const { send, to } = await bench(context, {
    events: { hostRested: ({ hop }) => rested.push(hop) },
  });
  assert.equal(await send(to("inside.test")), refused);
  assert.deepEqual(rested, []);
});

test("reach: a tenant's MX leads no further than his hosts", async (context) => {
  const { next, delivery } = await bench(context);
  const open = deliveryFor({ resolver, mxDeniedNetworks: [], outboundPort: next.port });
  const route = routeTo([], { target: { kind: "mx" } });
  const { reach: _, ...tenants } = route;
  const job = (each: Route) => jobTo(each, ["a@inside.test"], { domain: "inside.test" });
  const [own] = await open.deliver(job(route), never);
  const [foreign] = await open.deliver(job(tenants), never);
  const [denied] = await delivery.deliver(job(route), never);
  await open.close({ graceMs: 0 });
  assert.deepEqual(
    [own, foreign, denied].map((each) => `${each?.kind} ${each?.reply.status}`),
    ["delivered 2.0.0", "deferred 4.3.5", "failed 5.4.4"],
  );
});

test("reach: the mail store is the installation's, whoever's route leads to it", async (context) => {
  const { next } = await bench(context);
  const store = { host: "127.0.0.1", port: next.port, priority: 1, weight: 1 };
  const delivery = deliveryFor({ inbound: { hosts: [store], protocol: "SMTP" } });
  const { reach: _, ...route } = routeTo([], { target: { kind: "inbound" } });
  const [outcome] = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
  await delivery.close({ graceMs: 0 });
  assert.equal(outcome?.kind, "delivered");
});
