/**
 * MTA-STS with a real DNS server (Debian's unbound), a real HTTPS host and a whole relay: the policy's host has
 * 127.0.0.2 and port 443, which only root may open.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { type Misbehaving, misbehaving } from "../../relay/delivery/misbehaving.testkit.ts";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { ensureDebian, skipReason } from "../peers/debian.ts";
import { startUnbound, type Unbound } from "../peers/unbound.ts";
import { send } from "./client.ts";
import { drained, logged } from "./hosts.ts";

const fixtures = join(import.meta.dirname, "../../relay/delivery/mta-sts/fixtures");
const file = (name: string): string => readFileSync(join(fixtures, name), "utf8");
const records = [
  "to.test. MX 10 mx1.to.test.",
  "mx1.to.test. A 127.0.0.1",
  "mx2.to.test. A 127.0.0.1",
  '_mta-sts.to.test. TXT "v=STSv1; " "id=1;"',
  "mta-sts.to.test. A 127.0.0.2",
  "free.test. MX 10 mx1.to.test.",
];

const program = await ensureDebian("unbound", "unbound");
const skip =
  skipReason(program) || (userInfo().uid !== 0 && "port 443 of loopback is for root only");

describe("MTA-STS", { skip, timeout: 120_000 }, () => {
  let dns: Unbound;
  let web: Server;
  let mx: Misbehaving;
  let relay: RelayProcess;
  let names = "mx1.to.test";
  let asked = 0;

  function newRelay(): RelayProcess {
    const made = relayProcess({
      dns: { servers: [dns.address] },
      outbound: { port: mx.port, deniedNetworks: [] },
      retry: { initialMs: 200, maxMs: 500 },
      environment: { NODE_EXTRA_CA_CERTS: join(fixtures, "ca.pem") },
    });
    made.routes("other.yaml", [
      hostsRoute("other", { domains: ["other.test"] }, [{ host: "127.0.0.1", port: 1 }]),
    ]);
    return made;
  }

  before(async () => {
    if ("missing" in program) return;
    dns = await startUnbound({ program: program.path, records });
    web = createServer({ cert: file("policy.pem"), key: file("policy.key") }, (_, response) => {
      asked += 1;
      response.writeHead(200, { "content-type": "text/plain" });
      response.end(`version: STSv1\nmode: enforce\nmx: ${names}\nmax_age: 86400\n`);
    });
    await new Promise<void>((resolve) => web.listen(443, "127.0.0.2", resolve));
    mx = await misbehaving({ tls: { cert: file("mx.pem"), key: file("mx.key") } });
    relay = newRelay();
    await relay.start();
  });
  after(async () => {
    await relay?.close();
    await mx?.close();
    web?.closeAllConnections();
    web?.close();
    await dns?.close();
  });

  test("MTA-STS: mail goes to the host that the policy names, verified; log and metrics say so", async () => {
    await send(relay.port(), { to: ["a@to.test"] });
    await drained(relay);
    assert.equal(mx.messages.at(-1)?.secure, true);
    const [connected] = logged(relay, "connected", { hop: `mx1.to.test:${mx.port}` });
    assert.equal(connected?.["sts"], "enforce");
    assert.equal(connected?.["verified"], true);
    const metrics = await fetch(`http://127.0.0.1:${relay.adminPort()}/metrics`);
    const text = await metrics.text();
    assert.match(text, /mailroute_mta_sts_total\{result="fetched"\} 1/);
    assert.match(
      text,
      /mailroute_next_hop_connections_total\{tls="TLSv1.3",verified="true",mechanism="",sts="enforce"\} 1/,
    );
  });

  test("MTA-STS: a relay that was started anew knows the policy, also where its host has another one or is gone", async () => {
    const before = asked;
    names = "mx2.to.test";
    await relay.kill("SIGKILL");
    await relay.start();
    await send(relay.port(), { to: ["b@to.test"] });
    await drained(relay);
    assert.equal(asked, before);
    assert.deepEqual(mx.messages.at(-1)?.recipients, ["b@to.test"]);
  });

  test("MTA-STS: a policy that does not name the MX host holds the mail back, and that of no other domain", async (context) => {
    const fresh = newRelay();
    context.after(() => fresh.close());
    names = "mx2.to.test";
    await fresh.start();
    const count = mx.messages.length;
    await send(fresh.port(), { to: ["c@to.test"] });
    await send(fresh.port(), { to: ["c@free.test"] });
    const tried = (): boolean => logged(fresh, "deferred", { cause: "tls" }).length >= 2;
    await eventually(tried, { msMax: 20_000, what: "tried twice" });
    await eventually(() => mx.messages.length > count, {
      msMax: 20_000,
      what: "the other arrived",
    });
    assert.deepEqual(
      mx.messages.slice(count).map(({ recipients }) => recipients),
      [["c@free.test"]],
    );
    assert.match(
      String(logged(fresh, "deferred", { cause: "tls" })[0]?.["text"]),
      /no mail host of to\.test is one that its MTA-STS policy names/,
    );
    assert.equal(logged(fresh, "bounced").length, 0);
  });
});
