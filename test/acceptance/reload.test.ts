/**
 * Route files change under a running relay: the next message follows them, no connection ends, and what is
 * broken, half-written or deleted by mistake costs nobody his routes.
 */
import assert from "node:assert/strict";
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { stringify } from "yaml";
import { countingDns } from "../ledger/dns.ts";
import { eventually, hostsRoute } from "../ledger/relay-process.ts";
import { greeted, hand, idIn, say, send } from "./client.ts";
import { admin, drained, logged, untilLogged } from "./hosts.ts";
import { fileOf, hostOf, metricsOf, prepare, swap, untilReadyz } from "./reload-site.ts";

const bounded = { timeout: 60_000 };
const fast = { retry: { initial: "1s", max: "1s" } };

test(
  "reload: an edited file sends the next message elsewhere, over a connection that stays",
  bounded,
  async (context) => {
    const { hosts, relay } = await prepare(context, ["one", "two"]);
    const route = (host: string) => [hostsRoute("x", { suffixes: ["x.test"] }, hosts.target(host))];
    relay.routes("x.yaml", route("one"));
    await relay.start();
    const client = await greeted(relay.port());
    idIn((await hand(client, { to: ["a@x.test"], subject: "first" })).data);
    await drained(relay);
    await swap(relay, () => relay.routes("x.yaml", route("two")));
    idIn((await hand(client, { to: ["a@x.test"], subject: "second" })).data);
    await drained(relay);
    await swap(relay, () => relay.routes("x.yaml", route("one")));
    idIn((await hand(client, { to: ["a@x.test"], subject: "third" })).data);
    await drained(relay);
    assert.match(await say(client, "QUIT"), /^221 /);
    const ways = hosts.arrivals.map(({ host, text }) => [/Subject: (\w+)/.exec(text)?.[1], host]);
    assert.deepEqual(ways, [
      ["first", "one"],
      ["second", "two"],
      ["third", "one"],
    ]);
  },
);

test("reload: a transaction keeps the table that it began with", bounded, async (context) => {
  const { hosts, relay } = await prepare(context, ["one"]);
  const closed = [
    {},
    [],
    { target: { reject: { code: 550, status: "5.1.2", message: "closed" } } },
  ] as const;
  const files = (opens: string, closes: string) => [
    hostsRoute("opens", { domains: [opens] }, hosts.target("one")),
    hostsRoute("closes", { ...closed[0], domains: [closes] }, closed[1], closed[2]),
  ];
  relay.routes("x.yaml", files("a.test", "b.test"));
  await relay.start();
  const before = await greeted(relay.port());
  assert.match(await say(before, "MAIL FROM:<me@home.test>"), /^250 /);
  await swap(relay, () => relay.routes("x.yaml", files("b.test", "a.test")));
  assert.match(await say(before, "RCPT TO:<u@a.test>"), /^250 /, "still open in the old table");
  assert.match(await say(before, "RCPT TO:<u@b.test>"), /^550 5\.1\.2 closed/, "still closed");
  assert.match(await say(before, "RSET"), /^250 /);
  assert.match(await say(before, "MAIL FROM:<me@home.test>"), /^250 /);
  assert.match(await say(before, "RCPT TO:<u@a.test>"), /^550 5\.1\.2 closed/);
  assert.match(await say(before, "RCPT TO:<u@b.test>"), /^250 /);
  before.socket.destroy();
});

const broken: readonly (readonly [what: string, text: (good: string) => string, says: RegExp])[] = [
  ["half-written", (good) => good.slice(0, good.indexOf("target:") + 7), /x\.yaml:\d+: .*target/],
  ["cut inside a word", (good) => good.slice(0, good.indexOf("127.0") + 3), /x\.yaml:\d+: /],
  ["empty", () => "", /x\.yaml:1: is empty: delete the file to withdraw its routes/],
  ["blank", () => "\n \n", /x\.yaml:1: is empty/],
  ["not YAML", () => "kind: MailRoute\nspec: [\n", /x\.yaml:\d+: not YAML/],
  ["binary", () => "\0\u0001\ufffd", /x\.yaml:\d+: /],
  [
    "with a wrong port",
    (good) => good.replace(/port: \d+/, "port: 70000"),
    /x\.yaml:\d+: MailRoute mail\/x: spec\.target\.hosts\[0\]\.port: /,
  ],
  [
    "with a field that is not there",
    (good) => good.replace("suffixes", "sufixes"),
    /x\.yaml:\d+: MailRoute mail\/x: .*sufixes/,
  ],
  ["without a name", (good) => good.replace("name: x", "label: x"), /x\.yaml:\d+: .*name/],
  ["cut in its first word", (good) => good.slice(0, 5), /x\.yaml:1: /],
  [
    "cut in its kind",
    (good) => good.slice(0, good.indexOf("MailRoute") + 5),
    /x\.yaml:\d+: .*kind/,
  ],
  [
    "cut after its kind",
    (good) => good.slice(0, good.indexOf("MailRoute") + 9),
    /x\.yaml:\d+: .*name/,
  ],
  ["only a comment", () => "# corp\n", /x\.yaml:1: is empty/],
  [
    "of another version",
    (good) => good.replace("v1alpha1", "v9"),
    /x\.yaml:1: MailRoute mail\/x: apiVersion/,
  ],
];

test("reload: a broken file keeps its last good state and /readyz names file and line; mended it counts again", {
  timeout: 120_000,
}, async (context) => {
  const site = await prepare(context, ["one", "two", "three"]);
  const { hosts, relay } = site;
  const route = (name: string, host: string) =>
    hostsRoute(name, { suffixes: [`${name}.test`] }, hosts.target(host));
  const good = stringify(route("x", "one"));
  relay.routes("x.yaml", good);
  relay.routes("other.yaml", [route("other", "two")]);
  await relay.start();
  for (const [index, [what, text, says]] of broken.entries()) {
    // As an editor does that writes in place: first the file is cut, then its text comes.
    truncateSync(fileOf(relay, "x.yaml"));
    writeFileSync(fileOf(relay, "x.yaml"), text(good));
    await untilReadyz(relay, says);
    assert.equal((await admin(relay, "/readyz")).status, 200, what);
    assert.equal(await hostOf(site, "a@x.test"), "one", `${what}: the old rule stays`);
    const host = index % 2 === 0 ? "three" : "two";
    await swap(relay, () => relay.routes("other.yaml", [route("other", host)]));
    assert.equal(await hostOf(site, "a@other.test"), host, `${what}: other files still count`);
    relay.routes("x.yaml", good);
    await untilReadyz(relay, /^ready\n$/);
  }
  await swap(relay, () => relay.routes("x.yaml", [route("x", "two")]));
  assert.equal(await hostOf(site, "a@x.test"), "two");
  const problems = logged(relay, "problem").filter(({ where }) => String(where).includes("x.yaml"));
  assert.ok(problems.length >= broken.length, `${problems.length} problems logged`);
  assert.ok(logged(relay, "mended").length > 0);
});

test(
  "reload: in a file of several documents only the broken one keeps its old state",
  bounded,
  async (context) => {
    const site = await prepare(context, ["one", "two"]);
    const { hosts, relay } = site;
    const route = (name: string, host: string) =>
      hostsRoute(name, { suffixes: [`${name}.test`] }, hosts.target(host));
    relay.routes("all.yaml", [route("a", "one"), route("b", "one")]);
    await relay.start();
    const bad = {
      ...route("a", "two"),
      spec: { suffixes: ["a.test"], target: { hosts: [], mx: {} } },
    };
    await swap(relay, () => relay.routes("all.yaml", [bad, route("b", "two")]));
    await untilReadyz(relay, /all\.yaml:\d+: MailRoute mail\/a: /);
    assert.equal(await hostOf(site, "u@a.test"), "one");
    assert.equal(await hostOf(site, "u@b.test"), "two");
  },
);

test("guard: deleting most files keeps the table in force, says how to approve, over a restart too", {
  timeout: 90_000,
}, async (context) => {
  const site = await prepare(context, ["one"]);
  const { hosts, relay } = site;
  const count = 20;
  for (let index = 0; index < count; index++) {
    relay.routes(`d${index}.yaml`, [
      hostsRoute(`d${index}`, { suffixes: [`d${index}.test`] }, hosts.target("one")),
    ]);
  }
  await relay.start();
  for (let index = 0; index < 15; index++) rmSync(fileOf(relay, `d${index}.yaml`));
  const says =
    /15 of 20 keys would go; the table in force stays; if that is meant: (echo \w+ > \S+)/;
  await untilReadyz(relay, says);
  assert.equal((await admin(relay, "/readyz")).status, 200);
  assert.equal(await hostOf(site, "a@d3.test"), "one");
  await relay.kill("SIGTERM");
  await relay.start();
  const body = await untilReadyz(relay, says);
  assert.equal(await hostOf(site, "a@d3.test"), "one", "known after a restart");
  const [, digest = "", file = ""] = /echo (\w+) > (\S+)/.exec(says.exec(body)?.[1] ?? "") ?? [];
  await swap(relay, () => writeFileSync(file, `${digest}\n`));
  await untilReadyz(relay, /^ready\n$/);
  assert.match(await metricsOf(relay), /^mailroute_table_keys 5$/m);
  assert.equal(readFileSync(file, "utf8").trim(), digest);
});

test("guard: an emptied directory keeps every route", bounded, async (context) => {
  const site = await prepare(context, ["one"]);
  const { hosts, relay } = site;
  relay.routes("x.yaml", [hostsRoute("x", { suffixes: ["x.test"] }, hosts.target("one"))]);
  await relay.start();
  rmSync(fileOf(relay, "x.yaml"));
  await untilReadyz(relay, /every key would go/);
  assert.equal(await hostOf(site, "a@x.test"), "one");
  rmSync(join(relay.directory, "routes"), { recursive: true });
  await untilReadyz(relay, /cannot be read/);
  assert.equal(await hostOf(site, "a@x.test"), "one");
});

test(
  "withdrawn: queued mail waits with 4.4.4, . does not inherit it, and another explicit rule takes it",
  bounded,
  async (context) => {
    const dns = await countingDns();
    context.after(() => dns.close());
    const { hosts, relay } = await prepare(context, ["one", "rest", "explicit"], {
      dns: { servers: [dns.address] },
      retry: { initialMs: 200, maxMs: 500 },
    });
    relay.routes("x.yaml", [hostsRoute("x", { domains: ["x.test"] }, hosts.target("one"), fast)]);
    relay.routes("y.yaml", [hostsRoute("y", { domains: ["y.test"] }, hosts.target("one"), fast)]);
    await relay.start();
    await hosts.sink("one").down();
    const x = idIn((await send(relay.port(), { from: "", to: ["a@x.test"] })).data);
    await untilLogged(relay, "deferred", { id: x, cause: "connect" });
    await swap(relay, () => relay.routes("x.yaml", undefined));
    await untilLogged(relay, "deferred", { id: x, status: "4.4.4", cause: "withdrawn" });
    await swap(relay, () =>
      relay.routes("rest.yaml", [
        hostsRoute("rest", { suffixes: ["."] }, hosts.target("rest"), fast),
      ]),
    );
    const again = (): boolean => logged(relay, "deferred", { id: x, status: "4.4.4" }).length >= 2;
    await eventually(again, { msMax: 10_000, what: "tried again under the rule for every domain" });
    assert.deepEqual(hosts.arrivals, []);
    assert.equal((await send(relay.port(), { to: ["b@x.test"] })).data.slice(0, 3), "250");
    await eventually(() => hosts.at("rest").length === 1, {
      msMax: 10_000,
      what: "new mail goes by .",
    });
    await swap(relay, () =>
      relay.routes("test.yaml", [
        hostsRoute("explicit", { suffixes: ["test"] }, hosts.target("explicit")),
      ]),
    );
    await drained(relay);
    assert.deepEqual(
      hosts.arrivals.map(({ host, recipients }) => [host, ...recipients]),
      [
        ["rest", "b@x.test"],
        ["explicit", "a@x.test"],
      ],
    );
    assert.deepEqual(dns.questions(), []);
  },
);
