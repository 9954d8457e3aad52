/**
 * Each recipient has its own fate: split delivery, the mail store by LMTP and SMTP, reject, discard, and
 * what the sender is told of those that failed.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  eventually,
  hostsRoute,
  type ProcessOptions,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { greeted, hand, idIn, send, stranger } from "./client.ts";
import {
  drained,
  type HostOptions,
  type Hosts,
  logged,
  metric,
  startHosts,
  untilLogged,
} from "./hosts.ts";
import { parseReport } from "./report.ts";

type Site = { readonly hosts: Hosts; readonly relay: RelayProcess };

type SiteOptions = {
  readonly hosts: readonly string[];
  readonly sinks?: Readonly<Record<string, HostOptions>>;
  readonly relay?: (hosts: Hosts) => ProcessOptions;
  readonly routes: (hosts: Hosts) => readonly object[];
};

const bounded = { timeout: 30_000 };

async function site(context: TestContext, options: SiteOptions): Promise<Site> {
  const hosts = await startHosts(options.hosts, options.sinks);
  const relay = relayProcess(options.relay?.(hosts));
  context.after(async () => {
    await relay.close();
    await hosts.close();
  });
  relay.routes("all.yaml", options.routes(hosts));
  await relay.start();
  return { hosts, relay };
}

const byHost = (hosts: Hosts): Record<string, readonly (readonly string[])[]> =>
  Object.fromEntries(
    Object.entries(Object.groupBy(hosts.arrivals, ({ host }) => host)).map(
      ([host, arrivals = []]) => [host, arrivals.map(({ recipients }) => recipients)],
    ),
  );

const plain = { tls: { mode: "Disabled" } };
const inbound = { target: { inbound: {} }, ...plain };
const refusing = (wanted: string, reply: string) => (recipient: string) =>
  recipient.startsWith(`${wanted}@`) ? reply : undefined;

test(
  "split delivery: each host gets one transaction with exactly its own recipients",
  bounded,
  async (context) => {
    const { hosts, relay } = await site(context, {
      hosts: ["one", "two", "three"],
      routes: (all) => [
        hostsRoute("one", { suffixes: ["one.test"] }, all.target("one")),
        hostsRoute("two", { domains: ["two.test", "second.test"] }, all.target("two")),
        hostsRoute("three", { addresses: ["a@one.test", "b@two.test"] }, all.target("three")),
      ],
    });
    const to = [
      "x@one.test",
      "a@one.test",
      "y@two.test",
      "b@two.test",
      "z@sub.one.test",
      "w@second.test",
      "y@two.test",
      "v@one.test",
    ];
    const answers = await send(relay.port(), { from: "me@away.test", to, subject: "split" });
    assert.deepEqual(
      new Set(answers.rcpt.map((reply) => reply.slice(0, 9))),
      new Set(["250 2.1.5"]),
    );
    await drained(relay);
    assert.deepEqual(byHost(hosts), {
      one: [["x@one.test", "z@sub.one.test", "v@one.test"]],
      two: [["y@two.test", "w@second.test"]],
      three: [["a@one.test", "b@two.test"]],
    });
    const ids = hosts.arrivals.map(({ text }) => /\r\n\twith ESMTP id (\w+)/.exec(text)?.[1]);
    assert.deepEqual(new Set(ids), new Set([idIn(answers.data)]));
    assert.deepEqual(
      new Set(hosts.arrivals.map(({ sender }) => sender)),
      new Set(["me@away.test"]),
    );
  },
);

test(
  "split delivery: a host that is down delays only its own recipients",
  bounded,
  async (context) => {
    const retry = { retry: { initial: "1s", max: "1s" } };
    const { hosts, relay } = await site(context, {
      hosts: ["up", "down"],
      routes: (all) => [
        hostsRoute("up", { suffixes: ["up.test"] }, all.target("up")),
        hostsRoute("down", { suffixes: ["down.test"] }, all.target("down"), retry),
      ],
    });
    await hosts.sink("down").down();
    await send(relay.port(), { to: ["a@up.test", "a@down.test"] });
    await untilArrived(hosts, "up");
    await untilDeferred(relay, "a@down.test");
    assert.deepEqual(byHost(hosts), { up: [["a@up.test"]] });
    await hosts.sink("down").up();
    await drained(relay, 20_000);
    assert.deepEqual(byHost(hosts), { up: [["a@up.test"]], down: [["a@down.test"]] });
  },
);

test(
  "inbound: by LMTP each recipient has an answer of its own, and only the refused one is reported",
  bounded,
  async (context) => {
    const { hosts, relay } = await site(context, {
      hosts: ["store", "home"],
      sinks: {
        store: {
          lmtp: true,
          unkept: refusing("full", "552 5.2.2 mailbox is full"),
          refuse: refusing("nobody", "550 5.1.1 no such mailbox"),
        },
      },
      relay: (all) => ({ inbound: { hosts: all.target("store"), protocol: "LMTP" } }),
      routes: (all) => [
        hostsRoute("store", { suffixes: ["store.test"] }, [], inbound),
        hostsRoute("home", { domains: ["home.test"] }, all.target("home")),
      ],
    });
    await send(relay.port(), {
      from: "sender@home.test",
      to: ["kept@store.test", "full@store.test", "nobody@store.test", "also@store.test"],
    });
    await drained(relay);
    assert.deepEqual(
      hosts.at("store").map(({ recipients }) => recipients),
      [["kept@store.test", "full@store.test", "also@store.test"]],
    );
    assert.deepEqual(
      logged(relay, "delivered", { route: "mail/store" }).map((line) => line["to"]),
      ["kept@store.test", "also@store.test"],
    );
    const reports = hosts.at("home").map(({ text }) => parseReport(text));
    const failures = reports.flatMap(({ recipients }) =>
      recipients.map((each) => `${each.get("final-recipient")} ${each.get("status")}`),
    );
    assert.deepEqual(failures.sort(), [
      "rfc822; full@store.test 5.2.2",
      "rfc822; nobody@store.test 5.1.1",
    ]);
  },
);

test("inbound: by SMTP the store gets one transaction", bounded, async (context) => {
  const { hosts, relay } = await site(context, {
    hosts: ["store"],
    relay: (all) => ({ inbound: { hosts: all.target("store"), protocol: "SMTP" } }),
    routes: () => [
      hostsRoute("store", { suffixes: ["store.test"] }, [], { ...inbound, access: "Anyone" }),
    ],
  });
  await send(relay.port(), { to: ["a@store.test", "b@sub.store.test"] }, stranger);
  await drained(relay);
  assert.deepEqual(byHost(hosts), { store: [["a@store.test", "b@sub.store.test"]] });
});

test(
  "inbound: without a mail store the mail waits and the log says why",
  bounded,
  async (context) => {
    const { relay } = await site(context, {
      hosts: [],
      routes: () => [hostsRoute("store", { suffixes: ["store.test"] }, [], inbound)],
    });
    const answers = await send(relay.port(), { to: ["a@store.test"] });
    assert.match(answers.data, /^250 /);
    const line = await untilDeferred(relay, "a@store.test");
    assert.equal(line["status"], "4.3.5");
    assert.match(String(line["text"]), /mail store/);
  },
);

test(
  "reject: its code, status and text at RCPT, for trusted clients and strangers",
  bounded,
  async (context) => {
    const { hosts, relay } = await site(context, {
      hosts: ["open"],
      routes: (all) => [
        hostsRoute("closed", { suffixes: ["closed.test"] }, [], {
          target: { reject: { code: 551, status: "5.1.6", message: "moved to open.test" } },
        }),
        hostsRoute("later", { domains: ["later.closed.test"] }, [], {
          target: { reject: { code: 450, status: "4.2.1", message: "come back tomorrow" } },
        }),
        hostsRoute("plain", { domains: ["plain.test"] }, [], { target: { reject: {} } }),
        hostsRoute(
          "open",
          { suffixes: ["open.test"], domains: ["exception.closed.test"] },
          all.target("open"),
          { access: "Anyone" },
        ),
      ],
    });
    for (const from of [{}, stranger]) {
      const to = [
        "a@closed.test",
        "a@SUB.closed.test.",
        "a@later.closed.test",
        "a@plain.test",
        "a@exception.closed.test",
      ];
      const answers = await send(relay.port(), { to }, from);
      assert.deepEqual(answers.rcpt, [
        "551 5.1.6 moved to open.test",
        "551 5.1.6 moved to open.test",
        "450 4.2.1 come back tomorrow",
        "550 5.1.2 no such domain here",
        "250 2.1.5 recipient ok",
      ]);
      assert.match(answers.data, /^250 /);
    }
    await drained(relay);
    assert.deepEqual(byHost(hosts), {
      open: [["a@exception.closed.test"], ["a@exception.closed.test"]],
    });
    assert.equal(await metric(relay, 'mailroute_refused_total{reason="rejected"}'), 8);
  },
);

test("discard: taken, logged, counted and sent nowhere", bounded, async (context) => {
  const { hosts, relay } = await site(context, {
    hosts: ["one", "home"],
    routes: (all) => [
      hostsRoute("hole", { suffixes: ["hole.test"] }, [], { target: { discard: {} } }),
      hostsRoute("one", { suffixes: ["one.test"] }, all.target("one")),
      hostsRoute("home", { suffixes: ["home.test"] }, all.target("home")),
    ],
  });
  const answers = await send(relay.port(), {
    from: "sender@home.test",
    to: ["a@hole.test", "a@one.test"],
  });
  await drained(relay);
  assert.deepEqual(byHost(hosts), { one: [["a@one.test"]] });
  const [line] = logged(relay, "delivered", { to: "a@hole.test" });
  assert.deepEqual(
    [line?.["id"], line?.["route"], line?.["hop"]],
    [idIn(answers.data), "mail/hole", "discard"],
  );
  assert.equal(
    await metric(
      relay,
      'mailroute_recipients_total{result="delivered",route="mail/hole",hop="discard",cause=""}',
    ),
    1,
  );
});

test(
  "report: the sender is told of the recipients that failed, and the others are delivered",
  bounded,
  async (context) => {
    const { hosts, relay } = await site(context, {
      hosts: ["one", "two", "home"],
      sinks: { one: { refuse: refusing("nobody", "550 5.1.1 no such user") } },
      routes: (all) => [
        hostsRoute("one", { suffixes: ["one.test"] }, all.target("one")),
        hostsRoute("two", { suffixes: ["two.test"] }, all.target("two")),
        hostsRoute("home", { suffixes: ["home.test"] }, all.target("home")),
      ],
    });
    const text = "The secret body.";
    await send(relay.port(), {
      from: '"the sender"@home.test',
      to: ["a@one.test", "nobody@one.test", "b@two.test"],
      subject: "partly",
      text,
    });
    await drained(relay);
    assert.deepEqual(
      [hosts.at("one")[0]?.recipients, hosts.at("two")[0]?.recipients],
      [["a@one.test"], ["b@two.test"]],
    );
    const [arrival, ...more] = hosts.at("home");
    assert.deepEqual(
      [arrival?.sender, arrival?.recipients, more],
      ["", ['"the sender"@home.test'], []],
    );
    const report = parseReport(arrival?.text ?? "");
    assert.deepEqual(report.types, [
      "text/plain",
      "message/delivery-status",
      "text/rfc822-headers",
    ]);
    assert.match(report.headers.get("content-type") ?? "", /report-type="?delivery-status"?/);
    assert.equal(report.headers.get("auto-submitted"), "auto-replied");
    assert.equal(report.message.get("reporting-mta"), "dns; relay.test");
    assert.equal(report.recipients.length, 1);
    const [failed] = report.recipients;
    assert.equal(failed?.get("final-recipient"), "rfc822; nobody@one.test");
    assert.equal(failed?.get("action"), "failed");
    assert.equal(failed?.get("status"), "5.1.1");
    assert.equal(failed?.get("diagnostic-code"), "smtp; 550 5.1.1 no such user");
    assert.match(failed?.get("remote-mta") ?? "", /^dns; 127\.0\.0\.1$/);
    assert.match(report.original, /^Received: .*\r\nSubject: partly\r\n/s);
    assert.ok(!arrival?.text.includes(text), "the body is not sent back");
  },
);

test(
  "report: for the null sender there is none, and a report that fails makes no other",
  bounded,
  async (context) => {
    const { hosts, relay } = await site(context, {
      hosts: ["one"],
      sinks: { one: { refuse: () => "550 5.1.1 nobody is here" } },
      routes: (all) => [hostsRoute("one", { suffixes: ["one.test"] }, all.target("one"))],
    });
    const client = await greeted(relay.port());
    const empty = await hand(client, { from: "", to: ["a@one.test"] });
    const told = await hand(client, { from: "sender@one.test", to: ["a@one.test"] });
    client.socket.destroy();
    await drained(relay);
    assert.deepEqual(hosts.arrivals, []);
    assert.deepEqual(
      logged(relay, "unreported").map(({ why }) => why),
      ["the sender is <>", "the sender is <>"],
    );
    assert.equal(logged(relay, "unreported", { id: idIn(empty.data) }).length, 1);
    assert.equal(
      logged(relay, "reported", { about: idIn(told.data), to: "sender@one.test" }).length,
      1,
    );
    assert.equal(logged(relay, "reported").length, 1);
  },
);

test(
  "report: mail that expires is reported with the reason for which it waited",
  bounded,
  async (context) => {
    const { hosts, relay } = await site(context, {
      hosts: ["slow", "home"],
      sinks: { slow: { refuse: () => "451 4.2.1 not now" } },
      routes: (all) => [
        hostsRoute("slow", { suffixes: ["slow.test"] }, all.target("slow"), {
          retry: { initial: "1s", max: "1s", expireAfter: "2s", delayWarningAfter: "1s" },
        }),
        hostsRoute("home", { suffixes: ["home.test"] }, all.target("home")),
      ],
    });
    await send(relay.port(), { from: "sender@home.test", to: ["a@slow.test"] });
    await drained(relay, 20_000);
    const reports = hosts.at("home").map(({ text }) => parseReport(text).recipients[0]);
    assert.deepEqual(
      reports.map((each) => each?.get("action")),
      ["delayed", "failed"],
    );
    assert.deepEqual(
      reports.map((each) => each?.get("status")),
      ["4.2.1", "5.4.7"],
    );
    assert.match(reports[1]?.get("diagnostic-code") ?? "", /last: 451 .*not now/);
  },
);

async function untilArrived(hosts: Hosts, name: string): Promise<void> {
  await eventually(() => hosts.at(name).length > 0, {
    msMax: 10_000,
    what: `mail arrives at ${name}`,
  });
}

async function untilDeferred(relay: RelayProcess, to: string): Promise<Record<string, unknown>> {
  return await untilLogged(relay, "deferred", { to });
}
