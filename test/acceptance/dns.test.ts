/**
 * Mail by a real resolver (Debian's unbound) over a zone with what the Internet's zones have: aliases,
 * wildcards, hosts of one family, answers too large for UDP, delegations that lead nowhere, SRV records.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { hostsRoute, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { type Sink, startSink } from "../ledger/sink.ts";
import { ensureDebian, skipReason } from "../peers/debian.ts";
import { startUnbound, type Unbound } from "../peers/unbound.ts";
import { idIn, send } from "./client.ts";
import { drained, logged, untilLogged } from "./hosts.ts";

/** By name of the sink; all have one port, as mail exchangers do. */
const addresses: ReadonlyMap<string, string> = new Map([
  ["one", "127.0.0.2"],
  ["two", "127.0.0.3"],
  ["six", "::1"],
]);

const long = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `large MX 50 ${`spare${at}-`.padEnd(60, "x")}.large`);

const zoned = (port: number): readonly string[] => [
  "one A 127.0.0.2",
  "two A 127.0.0.3",
  "six AAAA ::1",
  "closed A 127.0.0.9",
  "mixed A 127.0.0.9",
  "mixed AAAA ::1",
  "alias CNAME one",
  "alias2 CNAME alias",
  "alias-mx MX 10 alias2",
  "aliased CNAME real",
  "real MX 10 two",
  "alias-null CNAME null",
  "null MX 0 .",
  "implicit-six AAAA ::1",
  "six-mx MX 10 six",
  "mixed-mx MX 10 mixed",
  "closed-mx MX 10 closed",
  "closed-mx MX 20 two",
  "ring CNAME ring2",
  "ring2 CNAME ring",
  "*.wild MX 10 one",
  "lame NS ns.lame",
  "ns.lame A 127.0.0.1",
  "lame-mx MX 10 mx.lame",
  "half-lame MX 10 mx.lame",
  "half-lame MX 20 two",
  "large MX 10 one",
  ...long(90),
  "apex-less.below A 127.0.0.2",
  `_smtp._tcp.srv SRV 10 1 ${port} closed`,
  `_smtp._tcp.srv SRV 20 1 ${port} two`,
  `_smtp._tcp.srv SRV 30 1 ${port} one`,
  `_smtp._tcp.alias CNAME _smtp._tcp.srv`,
  "_smtp._tcp.none SRV 0 0 0 .",
  `_smtp._tcp.lost SRV 0 0 ${port} missing`,
];

const program = await ensureDebian("unbound", "unbound");
const hasSix = await listens("::1");

describe("DNS", { skip: skipReason(program), timeout: 120_000 }, () => {
  const sinks: Sink[] = [];
  const arrivals: (readonly string[])[] = [];
  let dns: Unbound;
  let relay: RelayProcess;

  before(async () => {
    if ("missing" in program) return;
    let port = 0;
    for (const [name, host] of addresses) {
      if (name === "six" && !hasSix) continue;
      const sink = await startSink({
        ...{ host, port },
        received: ({ recipients }) => void arrivals.push([name, ...recipients]),
      });
      port = sink.port;
      sinks.push(sink);
    }
    dns = await startUnbound({ program: program.path, records: [], zoned: zoned(port) });
    relay = relayProcess({
      dns: { servers: [dns.address], timeoutMsMax: 2000 },
      outbound: { port, deniedNetworks: [] },
      retry: { initialMs: 3_600_000, maxMs: 3_600_000 },
      delivery: { idleMsMax: 100 },
    });
    const byService = (name: string) =>
      hostsRoute(`srv-${name}`, { domains: [`${name}.route.test`] }, [], {
        target: { hosts: [{ host: `_smtp._tcp.${name}.zoned.test` }] },
      });
    relay.routes("all.yaml", [
      ...["srv", "alias", "none", "lost", "missing", "lame"].map(byService),
      hostsRoute("home", { domains: ["home.test"] }, [{ host: "127.0.0.2", port }]),
      hostsRoute("either", { domains: ["either.route.test"] }, [], {
        target: {
          hosts: [
            { host: "_smtp._tcp.missing.zoned.test", priority: 1 },
            { host: "two.zoned.test", port, priority: 2 },
          ],
        },
      }),
    ]);
    await relay.start();
  });
  after(async () => {
    await relay?.close();
    await dns?.close();
    for (const sink of sinks) await sink.close();
  });
  beforeEach(() => void arrivals.splice(0));

  const goes: readonly (readonly [domain: string, host: string, because: string])[] = [
    ["alias-mx.zoned.test", "one", "an exchanger that is an alias of an alias"],
    ["aliased.zoned.test", "two", "a domain that is an alias has the other's exchangers"],
    ["any.wild.zoned.test", "one", "a wildcard"],
    ["closed-mx.zoned.test", "two", "the best exchanger's only address is closed"],
    ["half-lame.zoned.test", "two", "nobody answers about the best exchanger"],
    ["large.zoned.test", "one", "an answer that only fits into TCP"],
    ["apex-less.below.zoned.test", "one", "a host below a name that has no record of its own"],
    ["srv.route.test", "two", "SRV records by priority, of which the first is closed"],
    ["alias.route.test", "two", "SRV records by an alias"],
    ["either.route.test", "two", "SRV records that are not there, and another host"],
  ];
  for (const [domain, host, because] of goes) {
    test(`DNS: ${because}: the mail arrives`, async () => {
      await send(relay.port(), { to: [`a@${domain}`] });
      await drained(relay, 20_000);
      assert.deepEqual(arrivals, [[host, `a@${domain}`]]);
    });
  }

  const bySix: readonly (readonly [domain: string, because: string])[] = [
    ["six-mx.zoned.test", "an exchanger with AAAA only"],
    ["implicit-six.zoned.test", "a domain without MX and with AAAA only"],
    ["mixed-mx.zoned.test", "an exchanger with both, whose A is closed"],
  ];
  for (const [domain, because] of bySix) {
    const skip = hasSix ? false : "there is no IPv6 on loopback here";
    test(`DNS: ${because}: the mail goes by IPv6`, { skip }, async () => {
      await send(relay.port(), { to: [`a@${domain}`] });
      await drained(relay, 20_000);
      assert.deepEqual(arrivals, [["six", `a@${domain}`]]);
    });
  }

  const waits: readonly (readonly [domain: string, status: string, because: string])[] = [
    ["lame.zoned.test", "4.4.3", "a delegation to nobody"],
    ["ring.zoned.test", "4.4.3", "aliases in a ring"],
    ["lame-mx.zoned.test", "4.4.3", "the only exchanger is under a delegation to nobody"],
    ["missing.route.test", "4.4.3", "SRV records that are not there"],
    ["lame.route.test", "4.4.3", "SRV records under a delegation to nobody"],
    ["none.route.test", "4.4.4", "SRV records that say there is no such service"],
    ["lost.route.test", "4.4.3", "an SRV record whose host has no address"],
  ];
  for (const [domain, status, because] of waits) {
    test(`DNS: ${because}: the mail waits with ${status}`, async () => {
      const to = `a@${domain}`;
      const id = idIn((await send(relay.port(), { from: "me@home.test", to: [to] })).data);
      const line = await untilLogged(relay, "deferred", { id });
      assert.deepEqual([line["cause"], line["status"]], ["dns", status], JSON.stringify(line));
      assert.deepEqual(logged(relay, "bounced", { id }), []);
      assert.deepEqual(arrivals, []);
    });
  }

  const bounces: readonly (readonly [domain: string, status: string, because: string])[] = [
    ["alias-null.zoned.test", "5.1.10", "an alias of a domain with null MX"],
    ["nowhere.zoned.test", "5.1.2", "no such name"],
    ["below.zoned.test", "5.1.2", "a name with nothing but names below it"],
  ];
  for (const [domain, status, because] of bounces) {
    test(`DNS: ${because}: the sender hears ${status}`, async () => {
      const to = `a@${domain}`;
      const id = idIn((await send(relay.port(), { from: "me@home.test", to: [to] })).data);
      const line = await untilLogged(relay, "bounced", { id });
      assert.equal(line["status"], status, JSON.stringify(line));
    });
  }
});

async function listens(host: string): Promise<boolean> {
  const server = createServer().listen(0, host);
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}
