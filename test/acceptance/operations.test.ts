/** What whoever runs a relay relies on: metrics, probes, log lines, an orderly stop, one relay a spool. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { dial, greeted, hand, idIn, say, send, stranger } from "./client.ts";
import { admin, drained, type Hosts, logged, metric, startHosts, untilLogged } from "./hosts.ts";

const bounded = { timeout: 30_000 };
const fast = { retry: { initial: "1s", max: "1s" } };

describe("a relay at work", { timeout: 60_000 }, () => {
  let hosts: Hosts;
  let relay: RelayProcess;
  let delivered: string;
  let delayed: string;

  before(async () => {
    hosts = await startHosts(["one", "late"], {
      one: { refuse: (to) => (to.startsWith("nobody@") ? "550 5.1.1 nobody" : undefined) },
    });
    relay = relayProcess();
    relay.routes("all.yaml", [
      hostsRoute("one", { suffixes: ["one.test"] }, hosts.target("one")),
      hostsRoute("late", { suffixes: ["late.test"] }, hosts.target("late"), fast),
    ]);
    await relay.start();
    await hosts.sink("late").down();
    const client = await greeted(relay.port());
    delivered = idIn(
      (
        await hand(client, {
          from: "me@one.test",
          to: ["a@one.test", "b@one.test"],
          subject: "Top secret",
          text: "Body words",
        })
      ).data,
    );
    delayed = idIn((await hand(client, { from: "me@one.test", to: ["c@late.test"] })).data);
    await hand(client, { from: "", to: ["nobody@one.test"] });
    client.socket.destroy();
    await send(relay.port(), { to: ["a@one.test"] }, stranger);
    await untilLogged(relay, "deferred", { id: delayed });
    await hosts.sink("late").up();
    await drained(relay, 20_000);
  });
  after(async () => {
    await relay.close();
    await hosts.close();
  });

  test("metrics: every documented metric of the relay is there, with its type", async () => {
    const documented = [
      ...readFileSync(join(import.meta.dirname, "../../docs/metrics.md"), "utf8").matchAll(
        /^\| `(mailroute_(?!operator_)\w+)` \| (\w+) \|/gm,
      ),
    ];
    assert.ok(documented.length > 15);
    const { body } = await admin(relay, "/metrics");
    for (const [, name, type] of documented)
      assert.ok(body.includes(`# TYPE ${name} ${type}\n`), `${name} ${type}`);
    const undocumented = [...body.matchAll(/^# TYPE (mailroute_\w+)/gm)]
      .map(([, name]) => name)
      .filter((name) => !documented.some((each) => each[1] === name));
    assert.deepEqual(undocumented, []);
  });

  test("metrics: count what happened, by route and next hop", async () => {
    const one = `127.0.0.1:${hosts.sink("one").port}`;
    const late = `127.0.0.1:${hosts.sink("late").port}`;
    const expected: readonly (readonly [series: string, value: number])[] = [
      ["mailroute_accepted_total", 3],
      ['mailroute_refused_total{reason="relaying"}', 1],
      [`mailroute_recipients_total{result="delivered",route="mail/one",hop="${one}",cause=""}`, 2],
      [
        `mailroute_recipients_total{result="delivered",route="mail/late",hop="${late}",cause=""}`,
        1,
      ],
      [`mailroute_recipients_total{result="bounced",route="mail/one",hop="${one}",cause=""}`, 1],
      ["mailroute_unreported_total", 1],
      ["mailroute_reports_total", 0],
      ["mailroute_queue_messages", 0],
      ["mailroute_queue_oldest_seconds", 0],
      ["mailroute_spool_bytes", 0],
      ["mailroute_table_keys", 2],
      ["mailroute_table_stale", 0],
      ["mailroute_problems", 0],
      ["mailroute_accept_seconds_count", 3],
      ["mailroute_deliver_seconds_count", 3],
      ['mailroute_connections_total{direction="in",result="opened"}', 2],
    ];
    for (const [series, value] of expected)
      assert.equal(await metric(relay, series), value, series);
    assert.ok(
      (await metric(
        relay,
        `mailroute_recipients_total{result="deferred",route="mail/late",hop="${late}",cause="connect"}`,
      )) >= 1,
    );
    assert.ok((await metric(relay, "mailroute_accepted_bytes_total")) > 300);
  });

  test("probes: /healthz, /readyz and /revision answer, and what is not there is 404", async () => {
    assert.deepEqual(await admin(relay, "/healthz"), { status: 200, body: "ok\n" });
    assert.deepEqual(await admin(relay, "/readyz"), { status: 200, body: "ready\n" });
    const revision = JSON.parse((await admin(relay, "/revision")).body) as Record<string, unknown>;
    const [table] = logged(relay, "table").slice(-1);
    assert.equal(revision["digest"], table?.["digest"]);
    assert.deepEqual([revision["format"], revision["stale"]], [1, false]);
    assert.ok(
      Math.abs(Date.parse(String(revision["activatedAt"])) - Date.parse(String(table?.["time"]))) <
        1000,
    );
    assert.equal((await admin(relay, "/elsewhere")).status, 404);
  });

  test("log: every line has time, level and event, and no line has a subject or a body", () => {
    assert.ok(relay.log().length > 8);
    for (const line of relay.log()) {
      const text = JSON.stringify(line);
      assert.match(String(line["time"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, text);
      assert.match(String(line["level"]), /^(?:info|warn|error)$/, text);
      assert.match(String(line["event"]), /^[a-z-]+$/, text);
      assert.deepEqual(Object.keys(line).slice(0, 3), ["time", "level", "event"]);
      assert.doesNotMatch(text, /Top secret|Body words/);
    }
  });

  test("log: one id joins a message's lines from accepted to delivered", () => {
    const events = (id: string) =>
      relay
        .log()
        .filter((line) => line["id"] === id)
        .map(({ event, to }) => [event, to]);
    assert.deepEqual(events(delivered), [
      ["accepted", undefined],
      ["delivered", "a@one.test"],
      ["delivered", "b@one.test"],
    ]);
    const late = events(delayed);
    assert.deepEqual(late[0], ["accepted", undefined]);
    assert.deepEqual(late[1], ["deferred", "c@late.test"]);
    assert.deepEqual(late.at(-1), ["delivered", "c@late.test"]);
    const [accepted] = logged(relay, "accepted", { id: delivered });
    const sessions = new Set(
      relay
        .log()
        .filter((line) => line["id"] === delivered)
        .map(({ session }) => session),
    );
    assert.deepEqual([...sessions], [accepted?.["session"]]);
    assert.deepEqual(
      [accepted?.["client"], accepted?.["from"], accepted?.["recipients"]],
      ["127.0.0.1", "me@one.test", 2],
    );
  });
});

for (const [addresses, shows] of [
  ["domain", /^@one\.test$/],
  ["hashed", /^[0-9a-f]{16}@one\.test$/],
] as const) {
  test(`log: with addresses ${addresses} no line has a whole address`, bounded, async (context) => {
    const hosts = await startHosts(["one"]);
    const relay = relayProcess({ log: { addresses } });
    context.after(async () => {
      await relay.close();
      await hosts.close();
    });
    relay.routes("all.yaml", [
      hostsRoute(
        "one",
        { suffixes: ["one.test"], addresses: ["vip@one.test"] },
        hosts.target("one"),
      ),
    ]);
    await relay.start();
    for (const to of ["patient@one.test", "vip@one.test"])
      await send(relay.port(), { from: "doctor@one.test", to: [to] });
    await send(relay.port(), { from: "doctor@one.test", to: ["patient@away.test"] }, stranger);
    await drained(relay);
    const limit = { msMax: 10_000, what: "both deliveries are in the log" };
    await eventually(() => logged(relay, "delivered").length === 2, limit);
    assert.doesNotMatch(JSON.stringify(relay.log()), /patient|doctor/);
    for (const { from, to } of logged(relay, "delivered")) {
      assert.match(String(from), shows);
      assert.match(String(to), shows);
    }
  });
}

test(
  "stop: SIGTERM lets a DATA under way finish, tells idle clients 421, takes nobody new and exits 0",
  bounded,
  async (context) => {
    const hosts = await startHosts(["one"]);
    const relay = relayProcess();
    context.after(async () => {
      await relay.close();
      await hosts.close();
    });
    relay.routes("all.yaml", [
      hostsRoute("one", { suffixes: ["one.test"] }, hosts.target("one"), fast),
    ]);
    await relay.start();
    await hosts.sink("one").down();
    const port = relay.port();
    const idle = await greeted(port);
    const queued = idIn((await send(port, { from: "", to: ["before@one.test"] })).data);
    const busy = await greeted(port);
    assert.match(await say(busy, "MAIL FROM:<>"), /^250 /);
    assert.match(await say(busy, "RCPT TO:<during@one.test>"), /^250 /);
    assert.match(await say(busy, "DATA"), /^354 /);
    busy.send("Subject: half\r\n\r\nfirst half\r\n");
    const exited = relay.kill("SIGTERM");
    assert.match(await idle.reply(), /^421 4\.3\.2 /);
    const late = dial(port);
    assert.doesNotMatch(await late.reply(), /^220 /);
    busy.send("second half\r\n.\r\n");
    const taken = idIn(await busy.reply());
    assert.equal(await exited, 0);
    assert.equal(logged(relay, "stopped").length, 1);
    await hosts.sink("one").up();
    await relay.start();
    await drained(relay, 20_000);
    const texts = hosts.arrivals.map(({ recipients, text }) => [
      ...recipients,
      / id (\w+)/.exec(text)?.[1],
    ]);
    assert.deepEqual(texts.sort(), [
      ["before@one.test", queued],
      ["during@one.test", taken],
    ]);
    assert.match(
      hosts.arrivals.find(({ text }) => text.includes("half"))?.text ?? "",
      /first half\r\nsecond half\r\n$/,
    );
  },
);

test(
  "stop: a client that leaves in the middle of DATA keeps nobody, and his message is not half taken",
  bounded,
  async (context) => {
    const relay = relayProcess();
    context.after(() => relay.close());
    relay.routes("all.yaml", [
      hostsRoute("hole", { suffixes: ["hole.test"] }, [], { target: { discard: {} } }),
    ]);
    await relay.start();
    const busy = await greeted(relay.port());
    for (const line of ["MAIL FROM:<>", "RCPT TO:<a@hole.test>", "DATA"]) await say(busy, line);
    busy.send("Subject: half\r\n");
    const exited = relay.kill("SIGTERM");
    await untilLogged(relay, "stopping");
    busy.socket.destroy();
    assert.equal(await exited, 0);
    assert.deepEqual(logged(relay, "accepted"), []);
  },
);

test(
  "spool: a second relay on it is refused with words, the first goes on",
  bounded,
  async (context) => {
    const hosts = await startHosts(["one"]);
    const first = relayProcess();
    const spool = { directory: join(first.directory, "spool") };
    const second = relayProcess({ spool });
    const other = relayProcess({ spool: { ...spool, owner: "another.test" } });
    context.after(async () => {
      for (const each of [second, other, first]) await each.close();
      await hosts.close();
    });
    first.routes("all.yaml", [hostsRoute("one", { suffixes: ["one.test"] }, hosts.target("one"))]);
    await first.start();
    await assert.rejects(second.start(), (error: Error) => {
      assert.match(error.message, /^the relay ended \(1\): mailroute: .*spool.*/s);
      assert.match(error.message, /in use|another|other|running|lock/i);
      assert.doesNotMatch(error.message, /\n {4}at /);
      return true;
    });
    idIn((await send(first.port(), { to: ["a@one.test"] })).data);
    await eventually(() => hosts.arrivals.length === 1, {
      msMax: 5000,
      what: "the first delivers",
    });
    await first.kill("SIGTERM");
    await assert.rejects(
      other.start(),
      /the relay ended \(1\): mailroute: .*owner|belongs|another\.test/s,
      "somebody else's spool",
    );
    await second.start();
  },
);
