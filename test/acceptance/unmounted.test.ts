/** A restart while the volume with the routes is not there: what was in force before stays in force. */
import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { eventually, hostsRoute, relayProcess } from "../ledger/relay-process.ts";
import { startSink } from "../ledger/sink.ts";
import { send } from "./client.ts";

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
