import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "../../routing/route.ts";
import { deadPort, deliveryFor, jobTo, never, routeTo } from "./delivery.testkit.ts";
import { misbehaving } from "./misbehaving.testkit.ts";
import type { NameResolver } from "./resolver.ts";
import { chooseServers, type SrvAnswer } from "./srv.ts";

const service = "_smtp._tcp.corp.test";

const records = (...list: readonly (readonly [string, number])[]): SrvAnswer => ({
  kind: "records",
  records: list.map(([host, port], priority) => ({ host, port, priority, weight: 1 })),
});

const cases: readonly { title: string; answer: SrvAnswer; want: string }[] = [
  {
    title: "hosts with their ports",
    answer: records(["A.test.", 2525], ["b.test", 25]),
    want: "a.test:2525, b.test:25",
  },
  { title: "no such name", answer: { kind: "nxdomain" }, want: "deferred dns 4.4.3" },
  { title: "no SRV record", answer: { kind: "none" }, want: "deferred dns 4.4.3" },
  {
    title: "no answer",
    answer: { kind: "unanswered", reason: "ETIMEOUT" },
    want: "deferred dns 4.4.3",
  },
  { title: "a service that is not there", answer: records([".", 0]), want: "deferred dns 4.4.4" },
  { title: "c-ares' spelling of that", answer: records(["", 0]), want: "deferred dns 4.4.4" },
  {
    title: "addresses, ports and names that are none",
    answer: records(["192.0.2.1", 25], ["a.test", 0], ["-.test", 25], ["b.test", 26]),
    want: "b.test:26",
  },
];
for (const { title, answer, want } of cases) {
  test(`srv: ${title}`, () => {
    const chosen = chooseServers(answer, service);
    if ("hosts" in chosen) {
      assert.equal(chosen.hosts.map(({ host, port }) => `${host}:${port}`).join(", "), want);
      return;
    }
    const { trouble } = chosen;
    const cause = trouble.kind === "deferred" ? trouble.cause : "";
    assert.equal(`${trouble.kind} ${cause} ${trouble.reply.status}`, want);
  });
}

function resolverOf(answers: Readonly<Record<string, readonly Host[]>>): NameResolver {
  return {
    srv: async (name) => {
      const found = answers[name];
      return found === undefined ? { kind: "nxdomain" } : { kind: "records", records: found };
    },
    mx: async () => ({ kind: "none" }),
    txt: async () => ({ kind: "none" }),
    addresses: async () => ({ kind: "addresses", addresses: ["127.0.0.1"] }),
    close() {},
  };
}

test("srv: the records' hosts stand where the route names them, in the records' own order, and those at rest last", async () => {
  const [one, two] = [await misbehaving(), await misbehaving()];
  const dead = await deadPort();
  const tried: string[] = [];
  const at = (port: number, priority: number): Host => ({
    ...{ host: `h${port}.test`, port, priority, weight: 1 },
  });
  const delivery = deliveryFor({
    resolver: resolverOf({ [service]: [at(one.port, 900), at(dead, 5)] }),
    events: {
      connectionFailed: ({ hop }) => tried.push(hop),
      connectionOpened: ({ hop }) => tried.push(hop),
    },
  });
  const route = routeTo([
    { host: "last.test", port: two.port, priority: 20 },
    { host: service, port: 0, priority: 10 },
    { host: "_other._tcp.corp.test", port: 0, priority: 1 },
  ]);
  for (let round = 0; round < 2; round++) {
    const [outcome] = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
    assert.equal(outcome?.hop, `h${one.port}.test:${one.port}`);
  }
  assert.deepEqual(tried, [`h${dead}.test:${dead}`, `h${one.port}.test:${one.port}`]);
  await one.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const [outcome] = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
  assert.equal(outcome?.hop, `last.test:${two.port}`);
  await delivery.close({ graceMs: 0 });
  await two.close();
});

test("srv: where no record is left and no other host is named the mail waits", async () => {
  const delivery = deliveryFor({ resolver: resolverOf({}) });
  const route = routeTo([{ host: service, port: 0 }]);
  const [outcome] = await delivery.deliver(jobTo(route, ["a@to.test"]), never);
  assert.equal(outcome?.kind === "deferred" && outcome.cause, "dns");
  await delivery.close({ graceMs: 0 });
});

test("srv: its hosts may be where the route may reach, and nowhere else", async () => {
  const host = await misbehaving();
  const answer = [{ host: "inner.test", port: host.port, priority: 1, weight: 1 }];
  const delivery = deliveryFor({ resolver: resolverOf({ [service]: answer }) });
  const { reach: _, ...tenant } = routeTo([{ host: service, port: 0 }]);
  const [outcome] = await delivery.deliver(jobTo(tenant, ["a@to.test"]), never);
  assert.equal(outcome?.kind === "deferred" && outcome.cause, "unavailable");
  assert.equal(host.sessions(), 0);
  await delivery.close({ graceMs: 0 });
  await host.close();
});
