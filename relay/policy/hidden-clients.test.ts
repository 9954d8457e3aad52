import assert from "node:assert/strict";
import { test } from "node:test";
import { networkSet } from "../../routing/network.ts";
import { defaultGateways } from "./gateways.ts";
import { HiddenClients } from "./hidden-clients.ts";

const node = "192.0.2.1";
const client = "198.51.100.7";

function watching() {
  const hidden = new HiddenClients(networkSet([node]));
  const news: string[] = [];
  const see = (address: string, times = 1, listener = "smtp"): void => {
    for (let i = 0; i < times; i += 1) {
      if (!hidden.seen({ listener, address }).isNews) continue;
      news.push(hidden.findings.map(({ where }) => where).join(" ") || "well");
    }
  };
  return { hidden, news, see };
}

test("hidden clients: nineteen are no finding, twenty are, and it is told once", () => {
  const { hidden, news, see } = watching();
  see(node, 19);
  assert.deepEqual(news, []);
  see(node, 100);
  assert.deepEqual(news, ["listeners.smtp"]);
  assert.match(
    hidden.findings[0]?.text ?? "",
    /^20 of the last 20 clients .* like 192\.0\.2\.1: .*externalTrafficPolicy: Local.*proxyProtocol/,
  );
});

test("hidden clients: half of all are no finding, one more is", () => {
  const { news, see } = watching();
  see(client, 40);
  see(node, 40);
  assert.deepEqual(news, []);
  see(node);
  assert.deepEqual(news, ["listeners.smtp"]);
});

test("hidden clients: a finding is over when half of the clients can be seen, also after thousands", () => {
  const { hidden, news, see } = watching();
  see(node, 5000);
  see(client, 90);
  assert.deepEqual(news, ["listeners.smtp"]);
  see(client, 200);
  assert.deepEqual(news, ["listeners.smtp", "well"]);
  assert.deepEqual(hidden.findings, []);
  see(node, 300);
  assert.deepEqual(news, ["listeners.smtp", "well", "listeners.smtp"]);
});

test("hidden clients: each listener has its own finding", () => {
  const { hidden, news, see } = watching();
  see(client, 1000, "inside");
  see(node, 20, "smtp");
  see(node, 20, "submission");
  assert.deepEqual(news, ["listeners.smtp", "listeners.smtp listeners.submission"]);
  assert.equal(hidden.findings.length, 2);
});

test("hidden clients: behind a balancer that speaks the PROXY protocol nobody is hidden", () => {
  const { hidden } = watching();
  for (let i = 0; i < 100; i += 1) {
    const seen = hidden.seen({ listener: "smtp-proxy", address: node, balancer: node });
    assert.deepEqual(seen, { isHidden: false, isNews: false });
  }
  assert.deepEqual(hidden.findings, []);
});

const head =
  "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n";
const zeros = "0".repeat(32);
const gateways: readonly (readonly [
  what: string,
  routes: string,
  routes6: string,
  want: string[],
])[] = [
  ["nothing", "", "", []],
  ["no files of that kind", "<html>", "\0\0", []],
  [
    "an IPv4 gateway",
    `${head}eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n`,
    "",
    ["192.0.2.1"],
  ],
  [
    "a route to a network is none",
    `${head}eth0\t0000000A\t010200C0\t0003\t0\t0\t0\t000000FF\t0\t0\t0\neth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n`,
    "",
    [],
  ],
  [
    "a default route without gateway",
    `${head}ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n`,
    "",
    [],
  ],
  [
    "an IPv6 gateway, twice",
    "",
    `${zeros} 00 ${zeros} 00 20010db8000000000000000000000001 00000400 00000002 00000000 00000003     eth0\n${zeros} 00 ${zeros} 00 20010db8000000000000000000000001 00000401 00000002 00000000 00000003     eth1\n`,
    ["2001:db8::1"],
  ],
  [
    "IPv6 routes that are none",
    "",
    `fe800000000000000000000000000000 40 ${zeros} 00 ${zeros} 00000100 00000002 00000000 00000001     eth0\n${zeros} 00 ${zeros} 00 ${zeros} ffffffff 00000001 00000000 00200200       lo\n`,
    [],
  ],
];

for (const [what, routes, routes6, want] of gateways) {
  test(`gateways: ${what}: ${want.join(" ") || "none"}`, () => {
    assert.deepEqual(defaultGateways(routes, routes6), want);
  });
}
