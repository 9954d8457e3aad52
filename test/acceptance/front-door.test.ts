/** Who is trusted at which door: PROXY twins, trusted listeners, client certificates, nodes and gateways. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TestClient } from "../../relay/listener/dialog.testkit.ts";
import { eventually, hostsRoute, relayProcess } from "../ledger/relay-process.ts";
import { dial, type From, hand, idIn, say, send } from "./client.ts";
import { admin, logged, untilLogged } from "./hosts.ts";

const bounded = { timeout: 60_000 };
const fixture = (name: string): string =>
  join(import.meta.dirname, "../../relay/tls/fixtures", name);
const shown = (name: string) => ({
  cert: readFileSync(fixture(`${name}.pem`)),
  key: readFileSync(fixture(`${name}.key`)),
});
const loopback = { host: "127.0.0.1", port: 0 };
const hole = [hostsRoute("hole", { suffixes: ["in.test"] }, [], { target: { discard: {} } })];

const balancer: From = { localAddress: "127.0.0.9" };
const node: From = { localAddress: "127.0.0.66" };
const header = (address: string): string => `PROXY TCP4 ${address} 198.51.100.1 40000 25\r\n`;

describe("front door", () => {
  const relay = relayProcess({
    listeners: [
      { name: "smtp", ...loopback, proxyProtocol: { port: 0, balancers: ["127.0.0.9"] } },
      { name: "inside", ...loopback, trusted: true },
    ],
    tls: {
      certificates: [{ certificateFile: fixture("many.pem"), keyFile: fixture("many.key") }],
      clientCertificates: { caFile: fixture("ca.pem"), names: ["*.clients.test"] },
    },
    trustedNetworks: ["127.0.0.0/8", "192.0.2.0/24"],
    neverTrustedNetworks: ["127.0.0.66", "192.0.2.1"],
    deniedNetworks: ["203.0.113.0/24"],
  });
  before(async () => {
    relay.routes("hole.yaml", hole);
    await relay.start();
  });
  after(() => relay.close());

  /** The answer to a recipient whom only trusted clients may reach, or the refusal at connect. */
  async function answerTo(client: TestClient, ehlo = true): Promise<string> {
    try {
      const banner = ehlo ? await client.reply() : "220 ";
      if (!banner.startsWith("220 ")) return banner.slice(0, 9);
      await say(client, "EHLO client.test");
      const { rcpt } = await hand(client, { to: ["a@in.test"] });
      return (rcpt[0] ?? "").slice(0, 9);
    } finally {
      client.socket.destroy();
    }
  }

  const doors: readonly (readonly [
    who: string,
    port: string,
    from: From,
    says: string,
    answer: string,
  ])[] = [
    ["a trusted address", "smtp", {}, "", "250 2.1.5"],
    ["a node", "smtp", node, "", "550 5.7.1"],
    ["a balancer at the door that is not its own", "smtp", balancer, "", "550 5.7.1"],
    ["a client of a trusted network", "smtp-proxy", balancer, header("192.0.2.7"), "250 2.1.5"],
    ["a client of elsewhere", "smtp-proxy", balancer, header("198.51.100.7"), "550 5.7.1"],
    ["a client of a denied network", "smtp-proxy", balancer, header("203.0.113.7"), "554 5.7.1"],
    ["a node that a balancer brings", "smtp-proxy", balancer, header("192.0.2.1"), "550 5.7.1"],
    ["a loopback that a balancer brings", "smtp-proxy", balancer, header("127.0.0.1"), "550 5.7.1"],
    ["a balancer for itself", "smtp-proxy", balancer, "PROXY UNKNOWN\r\n", "550 5.7.1"],
    ["a trusted address at the balancers' door", "smtp-proxy", {}, header("192.0.2.7"), ""],
    ["a node at the trusted door", "inside", node, "", "250 2.1.5"],
  ];
  for (const [who, port, from, says, answer] of doors) {
    test(`front door: ${who} is answered ${answer || "nothing"}`, bounded, async () => {
      const client = dial(relay.port(port), from);
      if (says !== "") client.send(says);
      assert.equal(await answerTo(client), answer);
    });
  }

  for (const [name, answer] of [
    ["printer", "250 2.1.5"],
    ["unlisted", "550 5.7.1"],
    ["stranger", "550 5.7.1"],
  ] as const) {
    test(
      `front door: a node with the certificate ${name} is answered ${answer}`,
      bounded,
      async () => {
        const client = dial(relay.port(), node);
        await client.reply();
        assert.match(await say(client, "STARTTLS"), /^220 /);
        await client.startTls(shown(name));
        assert.equal(await answerTo(client, false), answer);
      },
    );
  }

  test(
    "front door: log and metrics name client and balancer, strangers and certificates",
    bounded,
    async () => {
      const client = dial(relay.port("smtp-proxy"), balancer);
      client.send(header("192.0.2.7"));
      await client.reply();
      await say(client, "EHLO client.test");
      const id = idIn((await hand(client, { to: ["a@in.test"] })).data);
      client.socket.destroy();
      const line = await untilLogged(relay, "accepted", { id });
      assert.deepEqual([line["client"], line["balancer"]], ["192.0.2.7", "127.0.0.9"]);
      const refused = await untilLogged(relay, "proxy-refused", { reason: "stranger" });
      assert.deepEqual([refused["client"], refused["listener"]], ["127.0.0.1", "smtp-proxy"]);
      await untilLogged(relay, "client-certificate", { result: "unverified" });
      const { body } = await admin(relay, "/metrics");
      assert.match(body, /^mailroute_proxy_connections_total\{result="stranger"\} 1$/m);
      assert.match(body, /^mailroute_proxy_connections_total\{result="own"\} 1$/m);
      assert.match(body, /^mailroute_client_certificates_total\{result="trusted"\} 1$/m);
      assert.match(
        body,
        /^mailroute_certificate_expiry_timestamp_seconds\{file=".*many\.pem"\} 41024448/m,
      );
    },
  );

  test(
    "front door: when most clients look like nodes, it is noticed, and says what to do",
    bounded,
    async () => {
      for (let i = 0; i < 40; i += 1) await send(relay.port(), { to: ["a@in.test"] }, node);
      const problem = await untilLogged(relay, "problem", { where: "listeners.smtp" });
      assert.match(
        String(problem["text"]),
        /like 127\.0\.0\.66: source NAT.*externalTrafficPolicy: Local/,
      );
      assert.match(
        (await admin(relay, "/readyz")).body,
        /^ready\nlisteners\.smtp: \d+ of the last/,
      );
      const { body } = await admin(relay, "/metrics");
      assert.match(body, /^mailroute_hidden_clients_total\{listener="smtp"\} 4\d$/m);
      assert.match(body, /^mailroute_problems 1$/m);
      for (let i = 0; i < 60; i += 1) await send(relay.port(), { to: ["a@in.test"] });
      await eventually(() => logged(relay, "mended", { where: "listeners.smtp" }).length === 1, {
        msMax: 10_000,
        what: "the finding is over",
      });
    },
  );
});

const own = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .find(({ internal, family }) => !internal && family === "IPv4")?.address;

test("front door: the machine's own address is not trusted, though its network is", {
  ...bounded,
  skip: own === undefined ? "this machine has no address but loopback" : false,
}, async (context) => {
  const host = own ?? "";
  const relay = relayProcess({
    listeners: [{ name: "smtp", host, port: 0 }],
    trustedNetworks: ["0.0.0.0/0"],
  });
  context.after(() => relay.close());
  relay.routes("hole.yaml", hole);
  await relay.start();
  const from = { host, localAddress: host };
  assert.match(
    (await send(relay.port(), { to: ["a@in.test"] }, from)).rcpt[0] ?? "",
    /^550 5\.7\.1/,
  );
});
