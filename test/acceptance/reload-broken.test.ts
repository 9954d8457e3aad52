/** Route files that were never good, or broke while the relay was down: nobody else gets their mail. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { stringify } from "yaml";
import { countingDns } from "../ledger/dns.ts";
import { hostsRoute } from "../ledger/relay-process.ts";
import { idIn, send } from "./client.ts";
import { admin, drained, untilLogged } from "./hosts.ts";
import { fileOf, hostOf, metricsOf, prepare, swap, untilReadyz } from "./reload-site.ts";

const bounded = { timeout: 60_000 };

test(
  "first start: with a broken file the table is incomplete, and what no key names gets 451 instead of MX",
  bounded,
  async (context) => {
    const dns = await countingDns();
    context.after(() => dns.close());
    const site = await prepare(context, ["one"], { dns: { servers: [dns.address] } });
    const { hosts, relay } = site;
    relay.routes("good.yaml", [
      hostsRoute("good", { domains: ["good.test"], suffixes: ["wide.test"] }, hosts.target("one")),
      hostsRoute(
        "all",
        { suffixes: ["."], senders: { domains: ["dot.test"] } },
        hosts.target("one"),
      ),
    ]);
    relay.routes(
      "bad.yaml",
      "apiVersion: mailroute.dev/v1alpha1\nkind: MailRoute\nmetadata: {name: bad}\nspec: {suffixes: [bad.test]\n",
    );
    await relay.start();
    const answers = await send(relay.port(), {
      to: ["a@good.test", "a@bad.test", "a@away.test", "a@bad.wide.test"],
    });
    assert.deepEqual(
      answers.rcpt.map((reply) => reply.slice(0, 9)),
      ["250 2.1.5", "451 4.3.0", "451 4.3.0", "451 4.3.0"],
      "a suffix may be wider than a key that nobody could read",
    );
    const byDot = await send(relay.port(), { from: "me@dot.test", to: ["a@bad.test"] });
    assert.deepEqual(
      byDot.rcpt.map((reply) => reply.slice(0, 9)),
      ["451 4.3.0"],
      "not by the rule for every domain",
    );
    const body = await untilReadyz(relay, /bad\.yaml:\d+: not YAML/);
    assert.match(body, /old or incomplete/);
    // Saved again as broken as before, and started again: what it holds is still not known.
    const stays = async (): Promise<void> => {
      const { stale } = JSON.parse((await admin(relay, "/revision")).body);
      assert.equal(stale, true);
      const { rcpt } = await send(relay.port(), { to: ["a@bad.test", "a@bad.wide.test"] });
      assert.deepEqual([...new Set(rcpt.map((reply) => reply.slice(0, 9)))], ["451 4.3.0"]);
    };
    await swap(relay, () =>
      relay.routes("bad.yaml", `${readFileSync(fileOf(relay, "bad.yaml"), "utf8")}# again\n`),
    );
    await stays();
    await relay.kill("SIGTERM");
    await relay.start();
    await stays();
    await drained(relay);
    assert.deepEqual(
      hosts.arrivals.map(({ recipients }) => recipients),
      [["a@good.test"]],
    );
    assert.deepEqual(dns.questions(), []);
    await swap(relay, () =>
      relay.routes("bad.yaml", [
        hostsRoute("bad", { suffixes: ["bad.test"] }, hosts.target("one")),
      ]),
    );
    await untilReadyz(relay, /^ready\n$/);
    assert.equal(await hostOf(site, "a@bad.test"), "one");
    assert.match((await send(relay.port(), { from: "", to: ["a@away.test"] })).data, /^250 /);
    await drained(relay);
    assert.deepEqual([...new Set(dns.questions())], ["away.test"]);
  },
);

test(
  "restart: a file that broke meanwhile is known from the kept copy",
  bounded,
  async (context) => {
    const site = await prepare(context, ["one", "two"]);
    const { hosts, relay } = site;
    const routes = (host: string) => [
      hostsRoute("x", { suffixes: ["x.test"] }, hosts.target(host)),
    ];
    relay.routes("x.yaml", routes("one"));
    await relay.start();
    await swap(relay, () => relay.routes("x.yaml", routes("two")));
    assert.equal(await hostOf(site, "a@x.test"), "two");
    await relay.kill("SIGTERM");
    writeFileSync(fileOf(relay, "x.yaml"), "kind: MailRoute\nspec: [");
    await relay.start();
    await untilReadyz(relay, /x\.yaml:\d+: not YAML/);
    assert.equal(await hostOf(site, "a@x.test"), "two");
    const digest = JSON.parse((await admin(relay, "/revision")).body);
    assert.equal(digest.stale, false);
    await swap(relay, () => relay.routes("x.yaml", routes("one")));
    assert.equal(await hostOf(site, "a@x.test"), "one");
  },
);

test(
  "reload: a broken route of a new file leaves its domains to nobody else",
  bounded,
  async (context) => {
    const site = await prepare(context, ["one"]);
    const { hosts, relay } = site;
    const route = (name: string, suffix: string) =>
      hostsRoute(name, { suffixes: [suffix] }, hosts.target("one"));
    relay.routes("a.yaml", [route("a", "corp.test")]);
    await relay.start();
    const bad = stringify(route("b", "hr.corp.test")).replace(/port: \d+/, "port: 99999");
    await swap(relay, () => relay.routes("b.yaml", bad));
    await untilReadyz(relay, /b\.yaml:\d+: MailRoute mail\/b: spec\.target\.hosts\[0\]\.port/);
    idIn((await send(relay.port(), { to: ["u@hr.corp.test"] })).data);
    await untilLogged(relay, "deferred", { status: "4.3.5" });
    assert.deepEqual(hosts.arrivals, []);
    assert.equal(
      await metricsOf(relay).then((text) => /^mailroute_table_keys 2$/m.test(text)),
      true,
    );
  },
);

test(
  "reload: of very many problems /readyz names a hundred, and how many more",
  bounded,
  async (context) => {
    const { hosts, relay } = await prepare(context, ["one"]);
    relay.routes("a.yaml", [hostsRoute("a", { suffixes: ["a.test"] }, hosts.target("one"))]);
    await relay.start();
    for (let index = 0; index < 120; index++) relay.routes(`b${index}.yaml`, "kind: MailRoute\n");
    const body = await untilReadyz(relay, /and 20 more/);
    assert.equal(body.split("\n").filter((line) => /b\d+\.yaml/.test(line)).length, 100);
  },
);
