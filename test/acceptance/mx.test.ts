/**
 * Mail by DNS, against Debian's unbound on loopback: hosts at 127.0.0.2 and up with one port between them,
 * as mail exchangers have. What DNS says for certain bounces; whatever is in doubt waits.
 */
import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { type Sink, startSink } from "../ledger/sink.ts";
import { ensureDebian, skipReason } from "../peers/debian.ts";
import { freePort } from "../peers/ports.ts";
import { startUnbound, type Unbound } from "../peers/unbound.ts";
import { idIn, send } from "./client.ts";
import { drained, logged, untilLogged } from "./hosts.ts";
import { parseReport } from "./report.ts";

const hostNames = ["best", "second", "third"] as const;
type HostName = (typeof hostNames)[number];

const records = [
  "best.test. A 127.0.0.2",
  "second.test. A 127.0.0.3",
  "third.test. A 127.0.0.4",
  "ordered.test. MX 30 third.test.",
  "ordered.test. MX 10 best.test.",
  "ordered.test. MX 20 second.test.",
  "equal.test. MX 10 best.test.",
  "equal.test. MX 10 second.test.",
  "upper.test. MX 10 BEST.Test.",
  "implicit.test. A 127.0.0.3",
  'nothing.test. TXT "neither MX nor A"',
  "null.test. MX 0 .",
  "own.test. MX 10 relay.test.",
  "backup.test. MX 10 best.test.",
  "backup.test. MX 20 relay.test.",
  "backup.test. MX 30 third.test.",
  "loop.test. MX 10 listener.test.",
  "listener.test. A 127.0.0.1",
  "nameless.test. MX 10 missing.test.",
  "half.test. MX 10 missing.test.",
  "half.test. MX 20 second.test.",
];

const program = await ensureDebian("unbound", "unbound");

describe("MX", { skip: skipReason(program), timeout: 120_000 }, () => {
  const sinks = new Map<HostName, Sink>();
  const arrivals: {
    readonly host: HostName | "home";
    readonly recipients: readonly string[];
    readonly text: string;
  }[] = [];
  let dns: Unbound;
  let home: Sink;
  let relay: RelayProcess;
  const sink = (name: HostName): Sink => sinks.get(name) as Sink;
  const reached = () => arrivals.map(({ host, recipients }) => [host, ...recipients]);

  before(async () => {
    if ("missing" in program) return;
    let port = 0;
    for (const [index, name] of hostNames.entries()) {
      const started = await startSink({
        host: `127.0.0.${index + 2}`,
        port,
        received: ({ recipients, body }) => {
          arrivals.push({ host: name, recipients, text: body.toString() });
        },
      });
      port = started.port;
      sinks.set(name, started);
    }
    home = await startSink({
      received: ({ recipients, body }) => {
        arrivals.push({ host: "home", recipients, text: body.toString() });
      },
    });
    dns = await startUnbound({
      program: program.path,
      records,
      broken: ["broken.test"],
      silent: ["silent.test"],
    });
    relay = relayProcess({
      dns: { servers: [dns.address], timeoutMsMax: 500 },
      outbound: { port, deniedNetworks: [] },
      retry: { initialMs: 200, maxMs: 500 },
      delivery: { idleMsMax: 100 },
    });
    relay.routes("all.yaml", [
      hostsRoute("home", { domains: ["home.test"] }, [{ host: "127.0.0.1", port: home.port }]),
      hostsRoute("elsewhere", { suffixes: ["elsewhere.test"] }, [], {
        target: { mx: { domain: "ordered.test" } },
      }),
      hostsRoute("by-mx", { domains: ["null.test"] }, [], {
        target: { mx: {} },
      }),
    ]);
    await relay.start();
  });
  after(async () => {
    await relay?.close();
    await dns?.close();
    for (const each of [...sinks.values(), home]) await each?.close();
  });
  beforeEach(async () => {
    for (const each of sinks.values()) await each.up();
    arrivals.length = 0;
  });

  test("MX: the most preferred host gets the mail, all recipients of the domain in one transaction", async () => {
    await send(relay.port(), { to: ["a@ordered.test", "b@ordered.test"] });
    await drained(relay);
    assert.deepEqual(reached(), [["best", "a@ordered.test", "b@ordered.test"]]);
  });

  test("MX: two domains at one host keep their own transactions", async () => {
    await send(relay.port(), { to: ["a@backup.test", "b@upper.test"] });
    await drained(relay);
    assert.deepEqual(reached().sort(), [
      ["best", "a@backup.test"],
      ["best", "b@upper.test"],
    ]);
  });

  test("MX: hosts of equal preference share the mail", async () => {
    const count = 40;
    for (let number = 0; number < count; number++)
      await send(relay.port(), { to: [`u${number}@equal.test`] });
    await drained(relay);
    const at = Object.groupBy(arrivals, ({ host }) => host);
    assert.deepEqual(Object.keys(at).sort(), ["best", "second"]);
    assert.equal((at.best?.length ?? 0) + (at.second?.length ?? 0), count);
  });

  test("MX: while the best host is down the next one gets the mail, in order of preference", async () => {
    await sink("best").down();
    await send(relay.port(), { to: ["a@ordered.test"] });
    await drained(relay);
    await sink("second").down();
    await send(relay.port(), { to: ["b@ordered.test"] });
    await drained(relay);
    assert.deepEqual(reached(), [
      ["second", "a@ordered.test"],
      ["third", "b@ordered.test"],
    ]);
  });

  test("MX: while all hosts are down the mail waits, and goes when one is back", async () => {
    for (const name of hostNames) await sink(name).down();
    const id = idIn(
      (await send(relay.port(), { from: "sender@home.test", to: ["wait@ordered.test"] })).data,
    );
    await untilLogged(relay, "deferred", { id, cause: "connect" });
    await sink("third").up();
    await drained(relay, 30_000);
    assert.deepEqual(reached(), [["third", "wait@ordered.test"]]);
  });

  test("MX: a domain without MX is its own host, and an unusable exchanger is passed over", async () => {
    await send(relay.port(), { to: ["a@implicit.test"] });
    await drained(relay);
    await send(relay.port(), { to: ["a@half.test"] });
    await drained(relay);
    assert.deepEqual(reached(), [
      ["second", "a@implicit.test"],
      ["second", "a@half.test"],
    ]);
  });

  test("MX: where we stand in the list ourselves only nearer hosts are tried", async () => {
    await sink("best").down();
    const id = idIn((await send(relay.port(), { to: ["a@backup.test"] })).data);
    await untilLogged(relay, "deferred", { id });
    assert.deepEqual(reached(), []);
    await sink("best").up();
    await drained(relay, 30_000);
    assert.deepEqual(reached(), [["best", "a@backup.test"]]);
  });

  test("MX: a route's mx target looks up the domain that it names, for every recipient in one transaction", async () => {
    await send(relay.port(), { to: ["a@elsewhere.test", "b@sub.elsewhere.test"] });
    await drained(relay);
    assert.deepEqual(reached(), [["best", "a@elsewhere.test", "b@sub.elsewhere.test"]]);
    assert.equal(
      logged(relay, "delivered", { to: "a@elsewhere.test" })[0]?.["route"],
      "mail/elsewhere",
    );
  });

  const bounces: readonly {
    readonly domain: string;
    readonly status: string;
    readonly because: string;
  }[] = [
    { domain: "null.test", status: "5.1.10", because: "null MX" },
    { domain: "nxdomain.test", status: "5.1.2", because: "the domain does not exist" },
    { domain: "nothing.test", status: "5.1.2", because: "neither MX nor address" },
    { domain: "own.test", status: "5.4.6", because: "the only exchanger is our own name" },
    { domain: "nameless.test", status: "5.4.4", because: "its only exchanger has no address" },
  ];
  for (const { domain, status, because } of bounces) {
    test(`MX: ${because}: the sender gets a report with ${status}`, async () => {
      await send(relay.port(), { from: "sender@home.test", to: [`a@${domain}`] });
      await drained(relay);
      assert.deepEqual(reached(), [["home", "sender@home.test"]]);
      const [failed, ...more] = parseReport(arrivals[0]?.text ?? "").recipients;
      assert.deepEqual(more, []);
      assert.equal(failed?.get("final-recipient"), `rfc822; a@${domain}`);
      assert.equal(failed?.get("action"), "failed");
      assert.equal(failed?.get("status"), status);
    });
  }

  for (const domain of ["broken.test", "sub.broken.test", "silent.test"]) {
    test(`MX: without an answer about ${domain} the mail is deferred, never bounced`, async () => {
      const id = idIn(
        (await send(relay.port(), { from: "sender@home.test", to: [`a@${domain}`] })).data,
      );
      const tries = (): boolean =>
        logged(relay, "deferred", { id, cause: "dns", status: "4.4.3" }).length >= 2;
      await eventually(tries, { msMax: 20_000, what: "tried twice" });
      assert.deepEqual(reached(), []);
      assert.deepEqual(logged(relay, "bounced", { id }), []);
    });
  }

  test("MX: an exchanger at an address where no mail may go is refused, and nothing connects there", async (context) => {
    const guarded = relayProcess({
      dns: { servers: [dns.address] },
      outbound: { port: sink("best").port },
    });
    context.after(() => guarded.close());
    guarded.routes("home.yaml", [
      hostsRoute("home", { domains: ["home.test"] }, [{ host: "127.0.0.1", port: home.port }]),
    ]);
    await guarded.start();
    const before = hostNames.map((name) => sink(name).connections());
    await send(guarded.port(), {
      from: "sender@home.test",
      to: ["a@ordered.test", "a@implicit.test"],
    });
    await drained(guarded);
    const failed = arrivals.flatMap(({ text }) => parseReport(text).recipients);
    assert.deepEqual(
      failed.map((each) => each.get("status")),
      ["5.4.4", "5.4.4"],
    );
    assert.deepEqual(
      hostNames.map((name) => sink(name).connections()),
      before,
    );
  });

  test("MX: a host that turns out to be our own listener is a loop, 5.4.6", async (context) => {
    const listeners = [{ name: "smtp", host: "127.0.0.1", port: await freePort() }];
    const looping = relayProcess({
      listeners,
      dns: { servers: [dns.address] },
      outbound: { port: listeners[0]?.port, deniedNetworks: [] },
    });
    context.after(() => looping.close());
    looping.routes("home.yaml", [
      hostsRoute("home", { domains: ["home.test"] }, [{ host: "127.0.0.1", port: home.port }]),
    ]);
    await looping.start();
    await send(looping.port(), { from: "sender@home.test", to: ["a@loop.test"] });
    await drained(looping);
    const failed = arrivals.flatMap(({ text }) => parseReport(text).recipients);
    assert.deepEqual(
      failed.map((each) => each.get("status")),
      ["5.4.6"],
    );
    assert.equal(logged(looping, "accepted").length, 1, "nothing came back in");
  });
});
