/** The golden table of docs/routing.md, and the sender rules: by real mail to real sockets. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type CountingDns, countingDns } from "../ledger/dns.ts";
import { hostsRoute, type RelayProcess, relayProcess } from "../ledger/relay-process.ts";
import { greeted, hand, send } from "./client.ts";
import { drained, type Hosts, logged, startHosts } from "./hosts.ts";

/** Which host a recipient's mail must reach, or "outbound"; and how its address is written there. */
type Row = {
  readonly to: string;
  readonly reaches: string;
  readonly as?: string;
  readonly parameters?: string;
};

const golden: readonly Row[] = [
  { to: "User@ms.example", reaches: "inbound" },
  { to: "a@sales.ms.example", reaches: "host1" },
  { to: "a@x.ms.example", reaches: "inbound" },
  { to: "a@abc.x.ms.example", reaches: "inbound" },
  { to: "a@pms.example", reaches: "outbound" },
  { to: "a@example", reaches: "outbound" },
  { to: "a@ms.example.org", reaches: "outbound" },
  // Only whole labels from the right.
  { to: "a@ax.ms.example", reaches: "host1" },
  { to: "a@x.pms.example", reaches: "outbound" },
  { to: "a@constructor.ms.example", reaches: "host1" },
  { to: "__proto__@ms.example", reaches: "inbound" },
  // Case and trailing dots.
  { to: "USER@MS.EXAMPLE", reaches: "inbound", as: "USER@ms.example" },
  { to: "a@Sales.Ms.Example", reaches: "host1", as: "a@sales.ms.example" },
  { to: "a@ms.example.", reaches: "inbound", as: "a@ms.example" },
  { to: "a@ABC.X.ms.example.", reaches: "inbound", as: "a@abc.x.ms.example" },
  // Local parts are opaque, quoted or not.
  { to: '"a"@ms.example', reaches: "inbound", as: "a@ms.example" },
  { to: '"two words"@sales.ms.example', reaches: "host1" },
  { to: '"a@pms.example"@sales.ms.example', reaches: "host1" },
  { to: "user%pms.example@sales.ms.example", reaches: "host1" },
  { to: "pms.example!user@x.ms.example", reaches: "inbound" },
  { to: "@pms.example,@other.test:a@sales.ms.example", reaches: "host1", as: "a@sales.ms.example" },
  // Exact addresses, with and without a tag.
  { to: "ceo@ms.example", reaches: "host2" },
  { to: "CEO@Ms.Example", reaches: "host2", as: "CEO@ms.example" },
  { to: '"c\\eo"@ms.example', reaches: "host2", as: "ceo@ms.example" },
  { to: "ceo+tag@ms.example", reaches: "host2" },
  { to: "ceo+a+b@ms.example", reaches: "host2" },
  { to: "ceo@sales.ms.example", reaches: "host1" },
  { to: "ceo2@ms.example", reaches: "inbound" },
  { to: "+ceo@ms.example", reaches: "inbound" },
  { to: "ceo-tag@ms.example", reaches: "inbound" },
  { to: "ops+alarm@ms.example", reaches: "host3" },
  { to: "OPS+Alarm@ms.example", reaches: "host3" },
  { to: "ops@ms.example", reaches: "inbound" },
  { to: "ops+other@ms.example", reaches: "inbound" },
  // Names beyond ASCII are their A-labels.
  {
    to: "a@bücher.example",
    reaches: "host3",
    as: "a@xn--bcher-kva.example",
    parameters: "SMTPUTF8",
  },
  { to: "a@xn--bcher-kva.example", reaches: "host3" },
  { to: "a@XN--BCHER-KVA.example", reaches: "host3", as: "a@xn--bcher-kva.example" },
  { to: "jürgen@ms.example", reaches: "host2", parameters: "SMTPUTF8" },
  // Literals go only where they are named.
  { to: "a@[192.0.2.7]", reaches: "host2" },
  { to: "a@[IPv6:2001:DB8:0:0::7]", reaches: "host2", as: "a@[IPv6:2001:db8::7]" },
  { to: "postmaster", reaches: "host3", as: "postmaster@ops.test" },
  { to: "PostMaster", reaches: "host3", as: "postmaster@ops.test" },
];

const inbound = { target: { inbound: {} }, tls: { mode: "Disabled" } };

function goldenRoutes(hosts: Hosts): readonly object[] {
  return [
    hostsRoute("suffix", { suffixes: ["ms.example"] }, hosts.target("host1")),
    hostsRoute("store", { domains: ["ms.example"], suffixes: ["x.ms.example"] }, [], inbound),
    hostsRoute(
      "mailboxes",
      {
        addresses: ["ceo@ms.example", "jürgen@ms.example"],
        domains: ["[192.0.2.7]", "[IPv6:2001:db8::7]"],
      },
      hosts.target("host2"),
    ),
    hostsRoute(
      "tagged",
      { addresses: ["ops+alarm@ms.example"], domains: ["bücher.example", "ops.test"] },
      hosts.target("host3"),
    ),
  ];
}

for (const order of ["as written", "reversed"]) {
  describe(`golden table: resources ${order}`, { timeout: 60_000 }, () => {
    let hosts: Hosts;
    let dns: CountingDns;
    let relay: RelayProcess;

    before(async () => {
      hosts = await startHosts(["host1", "host2", "host3", "inbound"], { inbound: { lmtp: true } });
      dns = await countingDns();
      relay = relayProcess({
        postmaster: "postmaster@ops.test",
        inbound: { hosts: hosts.target("inbound"), protocol: "LMTP" },
        dns: { servers: [dns.address] },
      });
      const routes = goldenRoutes(hosts);
      if (order === "as written") relay.routes("all.yaml", routes);
      else
        for (const [index, route] of routes.entries()) relay.routes(`${9 - index}.yaml`, [route]);
      await relay.start();
      const client = await greeted(relay.port());
      for (const [index, { to, parameters }] of golden.entries()) {
        const answers = await hand(client, {
          from: "",
          to: [to],
          subject: `row ${index}`,
          ...(parameters !== undefined && { parameters }),
        });
        assert.match(answers.data, /^250 2\.0\.0 /, `${to}: ${JSON.stringify(answers)}`);
      }
      client.socket.destroy();
      await drained(relay);
    });
    after(async () => {
      await relay.close();
      await hosts.close();
      dns.close();
    });

    for (const [index, { to, reaches, as = to }] of golden.entries()) {
      test(`golden table: mail to <${to}> reaches ${reaches}`, () => {
        const arrived = hosts
          .subject(`row ${index}`)
          .map(({ host, recipients }) => [host, ...recipients]);
        if (reaches !== "outbound") {
          assert.deepEqual(arrived, [[reaches, as]]);
          return;
        }
        assert.deepEqual(arrived, []);
        assert.ok(
          dns.questions().includes(to.split("@")[1] ?? ""),
          `asked: ${dns.questions().join(" ")}`,
        );
        assert.equal(logged(relay, "bounced", { to, key: "outbound", status: "5.1.2" }).length, 1);
      });
    }

    test("golden table: nobody but the mail of rule 5 asks DNS", () => {
      const outbound = golden
        .filter(({ reaches }) => reaches === "outbound")
        .map(({ to }) => to.split("@")[1]);
      assert.deepEqual([...new Set(dns.questions())].sort(), outbound.sort());
    });
  });
}

const senders: readonly { readonly from: string; readonly to: string; readonly reaches: string }[] =
  [
    { from: "boss@corp.example", to: "a@partner.test", reaches: "address" },
    { from: "BOSS@Corp.Example", to: "a@partner.test", reaches: "address" },
    { from: '"boss"@corp.example', to: "a@partner.test", reaches: "address" },
    { from: "boss+tag@corp.example", to: "a@partner.test", reaches: "domain" },
    { from: "a@corp.example", to: "a@partner.test", reaches: "domain" },
    { from: "a@hr.corp.example", to: "a@partner.test", reaches: "long" },
    { from: "boss@x.hr.corp.example", to: "a@partner.test", reaches: "long" },
    { from: "a@other.example", to: "a@partner.test", reaches: "short" },
    { from: "a@notcorp.example", to: "a@partner.test", reaches: "short" },
    { from: "a@elsewhere.test", to: "a@partner.test", reaches: "none" },
    { from: "", to: "a@partner.test", reaches: "none" },
    // An entry that does not apply leaves the recipient to the next key.
    { from: "a@corp.example", to: "a@only.test", reaches: "domain" },
    { from: "a@elsewhere.test", to: "a@only.test", reaches: "none" },
    { from: "", to: "a@only.test", reaches: "none" },
    { from: "a@corp.example", to: "vip@only.test", reaches: "long" },
    { from: "a@elsewhere.test", to: "vip@only.test", reaches: "none" },
    // A less specific recipient key never beats a more specific one, whatever the sender.
    { from: "boss@corp.example", to: "a@sub.only.test", reaches: "none" },
    { from: "boss@corp.example", to: "a@sub.wide.test", reaches: "address" },
    { from: "boss@corp.example", to: "a@wide.test", reaches: "none" },
  ];

test("sender rules: address before domain before the longest suffix before none, under the most specific recipient key that applies", {
  timeout: 30_000,
}, async (context) => {
  const hosts = await startHosts(["address", "domain", "long", "short", "none"]);
  const relay = relayProcess();
  context.after(async () => {
    await relay.close();
    await hosts.close();
  });
  const partner = { domains: ["partner.test"] };
  const route = (name: string, spec: Parameters<typeof hostsRoute>[1], host: string): object =>
    hostsRoute(name, spec, hosts.target(host));
  relay.routes("senders.yaml", [
    route("p-none", partner, "none"),
    route("p-short", { ...partner, senders: { suffixes: ["example"] } }, "short"),
    route("p-long", { ...partner, senders: { suffixes: ["corp.example"] } }, "long"),
    route("p-domain", { ...partner, senders: { domains: ["corp.example"] } }, "domain"),
    route("p-address", { ...partner, senders: { addresses: ["boss@corp.example"] } }, "address"),
    route("only", { domains: ["only.test"], senders: { domains: ["corp.example"] } }, "domain"),
    route(
      "only-vip",
      { addresses: ["vip@only.test"], senders: { suffixes: ["corp.example"] } },
      "long",
    ),
    route("only-all", { suffixes: ["only.test"] }, "none"),
    route(
      "wide",
      { suffixes: ["wide.test"], senders: { addresses: ["boss@corp.example"] } },
      "address",
    ),
    route("wide-exact", { domains: ["wide.test"] }, "none"),
  ]);
  await relay.start();
  const client = await greeted(relay.port());
  for (const [index, { from, to }] of senders.entries()) {
    const answers = await hand(client, { from, to: [to], subject: `row ${index}` });
    assert.match(answers.data, /^250 /, `${from} to ${to}: ${JSON.stringify(answers)}`);
  }
  client.socket.destroy();
  await drained(relay);
  const arrived = senders.map((row, index) => ({
    ...row,
    reaches: hosts
      .subject(`row ${index}`)
      .map(({ host }) => host)
      .join(" and "),
  }));
  assert.deepEqual(arrived, senders);
});

test("golden table: the suffix . takes what nothing else names, and never an address literal", {
  timeout: 30_000,
}, async (context) => {
  const hosts = await startHosts(["named", "rest"]);
  const dns = await countingDns();
  const relay = relayProcess({ dns: { servers: [dns.address] } });
  context.after(async () => {
    await relay.close();
    await hosts.close();
    dns.close();
  });
  relay.routes("rest.yaml", [
    hostsRoute("rest", { suffixes: ["."] }, hosts.target("rest")),
    hostsRoute("named", { suffixes: ["named.test"] }, hosts.target("named")),
  ]);
  await relay.start();
  const to = ["a@named.test", "a@sub.named.test", "a@example.test", "a@test", "a@[192.0.2.1]"];
  const answers = await send(relay.port(), { to, subject: "rest" });
  assert.deepEqual(
    answers.rcpt.map((reply) => reply.slice(0, 9)),
    ["250 2.1.5", "250 2.1.5", "250 2.1.5", "250 2.1.5", "550 5.1.2"],
  );
  await drained(relay);
  assert.deepEqual(
    hosts.at("named").map(({ recipients }) => recipients),
    [["a@named.test", "a@sub.named.test"]],
  );
  assert.deepEqual(
    hosts.at("rest").map(({ recipients }) => recipients),
    [["a@example.test", "a@test"]],
  );
  assert.deepEqual(dns.questions(), []);
});
