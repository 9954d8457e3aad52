/**
 * The volume with the routes is not there, or is empty: what was in force before stays in force, and where
 * nothing was, nobody's mail goes to the Internet by mistake.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  eventually,
  hostsRoute,
  type RelayProcess,
  relayProcess,
} from "../ledger/relay-process.ts";
import { startSink } from "../ledger/sink.ts";
import { send } from "./client.ts";
import { admin } from "./hosts.ts";

test("reload: a directory that is gone at a restart leaves the kept table in force, as one that may be old", async (context) => {
  const sink = await startSink({ received: () => undefined });
  const relay = relayProcess();
  context.after(async () => {
    await relay.close();
    await sink.close();
  });
  const routes = join(relay.directory, "routes");
  relay.routes("a.yaml", [
    hostsRoute("a", { suffixes: ["kept.test"] }, [{ host: "127.0.0.1", port: sink.port }]),
  ]);
  await relay.start();
  const isKept = (): boolean => existsSync(join(relay.directory, "spool/table/table.json"));
  await eventually(isKept, { msMax: 10_000, what: "the table is kept" });
  await relay.kill("SIGTERM");
  renameSync(routes, `${routes}-unmounted`);
  await relay.start();
  const answers = await send(relay.port(), {
    from: "a@away.test",
    to: ["a@kept.test", "a@elsewhere.test"],
    subject: "unmounted",
  });
  assert.deepEqual(
    answers.rcpt.map((reply) => reply.slice(0, 9)),
    ["250 2.1.5", "451 4.3.0"],
  );
  renameSync(`${routes}-unmounted`, routes);
  const current = async (): Promise<boolean> => {
    const answer = await fetch(`http://127.0.0.1:${relay.adminPort()}/revision`);
    return ((await answer.json()) as { stale: boolean }).stale === false;
  };
  await eventually(current, { msMax: 10_000, what: "the directory counts again" });
});

function prepare(context: TestContext): RelayProcess {
  const relay = relayProcess();
  context.after(() => relay.close());
  return relay;
}

const route = hostsRoute("a", { suffixes: ["kept.test"] }, [{ host: "127.0.0.1", port: 9 }]);

async function answer(relay: RelayProcess, to: string): Promise<string | undefined> {
  return (await send(relay.port(), { from: "", to: [to] })).rcpt[0]?.slice(0, 9);
}

test("empty: a first start without any MailRoute sends nobody's mail by MX, until that is approved", async (context) => {
  const relay = prepare(context);
  await relay.start();
  const says =
    /no MailRoute in \S+: everything would go by MX; if that is meant: echo (\w+) > (\S+)/;
  for (let start = 0; start < 2; start++) {
    assert.equal(await answer(relay, "a@away.test"), "451 4.3.0");
    assert.match((await admin(relay, "/readyz")).body, says);
    await relay.kill("SIGTERM");
    await relay.start();
  }
  const [, digest = "", file = ""] = says.exec((await admin(relay, "/readyz")).body) ?? [];
  writeFileSync(file, `${digest}\n`);
  const isReady = async (): Promise<boolean> => (await admin(relay, "/readyz")).body === "ready\n";
  await eventually(isReady, { msMax: 10_000, what: "it is approved" });
  assert.equal(await answer(relay, "a@away.test"), "250 2.1.5");
});

for (const [what, damage] of [
  ["index", (name: string) => name === "table.json"],
  ["shard", (name: string) => name !== "table.json"],
] as const) {
  test(`empty: a damaged ${what} of the kept table and an emptied directory are no reason for MX`, async (context) => {
    const relay = prepare(context);
    relay.routes("a.yaml", [route]);
    await relay.start();
    const kept = join(relay.directory, "spool/table");
    const isKept = (): boolean => existsSync(join(kept, "table.json"));
    await eventually(isKept, { msMax: 10_000, what: "the table is kept" });
    await relay.kill("SIGTERM");
    for (const name of readdirSync(kept).filter(damage)) truncateSync(join(kept, name), 10);
    rmSync(join(relay.directory, "routes/a.yaml"));
    await relay.start();
    assert.match((await admin(relay, "/readyz")).body, /kept route table is damaged and not used/);
    assert.equal(await answer(relay, "a@kept.test"), "451 4.3.0");
    assert.equal(await answer(relay, "a@away.test"), "451 4.3.0");
    relay.routes("a.yaml", [route]);
    const isReady = async (): Promise<boolean> =>
      (await admin(relay, "/readyz")).body === "ready\n";
    await eventually(isReady, { msMax: 10_000, what: "a good scan with routes" });
    assert.equal(await answer(relay, "a@kept.test"), "250 2.1.5");
  });
}
