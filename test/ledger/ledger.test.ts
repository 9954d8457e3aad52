/** The three laws under load, on real processes: nothing answered 250 is lost or at a wrong host. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seeded } from "../../relay/seeded.testkit.ts";
import { countingDns } from "./dns.ts";
import { openLedger } from "./ledger.ts";
import { eventually } from "./relay-process.ts";
import { fullLoad, killed } from "./scenarios.ts";

test("ledger: full load while routes change every 200 ms and a next hop flaps loses and misroutes nothing", async (context) => {
  const ledger = await openLedger({ hosts: ["one", "two", "flapping"] });
  context.after(() => ledger.close());
  const seconds = Number(process.env["MAILROUTE_LEDGER_SECONDS"] ?? 60);
  const reckoning = await fullLoad(ledger, { seconds, connections: 50, messagesPerSecond: 0 });
  context.diagnostic(JSON.stringify(reckoning));
  assert.ok(reckoning.answered > 100, "some load was there");
  assert.equal(reckoning.missing, 0);
  assert.equal(reckoning.wrongHost, 0);
  assert.equal(reckoning.duplicates, 0);
});

test("ledger: kill -9 at 50 random moments under load loses nothing that was answered", async (context) => {
  const ledger = await openLedger({ hosts: ["a.test", "b.test", "c.test"] });
  context.after(() => ledger.close());
  const seed = Number(process.env["MAILROUTE_SEED"] ?? Date.now() % 1e9);
  context.diagnostic(`MAILROUTE_SEED=${seed}`);
  const kills = Number(process.env["MAILROUTE_LEDGER_KILLS"] ?? 50);
  const load = { seconds: 0, connections: 20, messagesPerSecond: 0 };
  const reckoning = await killed(ledger, { ...load, kills, random: seeded(seed) });
  context.diagnostic(JSON.stringify(reckoning));
  assert.ok(reckoning.answered > 100, "some load was there");
  assert.equal(reckoning.missing, 0);
  assert.equal(reckoning.wrongHost, 0);
  assert.ok(
    reckoning.duplicates <= reckoning.inFlight,
    `${reckoning.duplicates} twice, ${reckoning.inFlight} in flight`,
  );
});

test("ledger: mail whose route is deleted waits, asks no DNS, bounces nothing, and goes when it is put back", async (context) => {
  const dns = await countingDns();
  const ledger = await openLedger({
    hosts: ["one", "reports"],
    relay: { dns: { servers: [dns.address] }, outbound: { deniedNetworks: [] } },
    retry: { initial: "1s", max: "1s" },
  });
  context.after(async () => {
    await ledger.close();
    dns.close();
  });
  const one = ledger.sinks.get("one");
  await one?.down();
  ledger.rule("x.test", "one");
  ledger.rule("sender.test", "reports");
  await ledger.relay.start();
  const generator = ledger.generate({
    connections: 10,
    messagesPerSecond: 0,
    bodyBytes: 1000,
    address: (number) => ({ to: `u${number}@x.test`, domain: "x.test" }),
  });
  await eventually(() => generator.entries.length >= 500, { msMax: 20_000, what: "500 sent" });
  await generator.stop();
  ledger.rule("x.test", undefined);
  const withdrawn = (): boolean =>
    ledger.relay.log().filter((line) => line["status"] === "4.4.4").length >= 500;
  await eventually(withdrawn, { msMax: 20_000, what: "all deferred with 4.4.4" });
  await one?.up();
  await new Promise((resolve) => setTimeout(resolve, 3000)); // three rounds of retries
  assert.equal(ledger.arrivals.length, 0);
  assert.deepEqual(dns.questions(), []);
  ledger.rule("x.test", "one");
  const reckoning = await ledger.settle(generator, 30_000);
  assert.equal(reckoning.missing, 0);
  assert.equal(reckoning.wrongHost, 0);
  assert.equal(reckoning.duplicates, 0);
  assert.equal(
    ledger.arrivals.every(({ host }) => host === "one"),
    true,
    "no report was sent",
  );
});
