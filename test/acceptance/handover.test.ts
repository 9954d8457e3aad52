/** `mailroute drain`: what a relay that is gone has left goes to those that are there. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { eventually, hostsRoute, relayProcess } from "../ledger/relay-process.ts";
import { startSink } from "../ledger/sink.ts";
import { freePort } from "../peers/ports.ts";
import { idIn, send } from "./client.ts";
import { mailroute } from "./command.ts";

test("drain: a relay's queue goes out by another, and the spool is empty", {
  timeout: 90_000,
}, async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "mailroute-drain-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const keyFile = join(directory, "key");
  writeFileSync(keyFile, "a key of more than thirty-two characters\n");
  const port = await freePort("127.0.0.9");
  const received: string[] = [];
  const sink = await startSink({
    received: ({ recipients }) => void received.push(...recipients),
  });
  context.after(() => sink.close());
  // The one that stays listens where the one that leaves does not think of itself.
  const handover = { keyFile, siblings: "127.0.0.9", port };
  const staying = relayProcess({ handover: { ...handover, host: "127.0.0.9" } });
  const leaving = relayProcess({ handover: { ...handover, host: "127.0.0.8" } });
  for (const relay of [staying, leaving]) context.after(() => relay.close());
  const hosts = [{ host: "127.0.0.1", port: sink.port }];
  staying.routes("a.yaml", [hostsRoute("a", { suffixes: ["a.test"] }, hosts)]);
  let refused = 0;
  const refuse = (): string => {
    refused += 1;
    return "450 4.2.1 not now";
  };
  const unwilling = await startSink({ received: () => undefined, refuse });
  context.after(() => unwilling.close());
  const unwillingHosts = [{ host: "127.0.0.1", port: unwilling.port }];
  leaving.routes("a.yaml", [hostsRoute("a", { suffixes: ["a.test"] }, unwillingHosts)]);
  await leaving.start();
  const ids: string[] = [];
  for (let count = 0; count < 5; count += 1)
    ids.push(idIn((await send(leaving.port(), { to: [`u${count}@a.test`] })).data));
  await eventually(() => refused === 5, { msMax: 20_000, what: "all have been tried" });
  const config = join(leaving.directory, "config.yaml");
  const busy = mailroute(["drain", "--config", config]);
  assert.equal(busy.code, 1);
  assert.match(busy.err, /in use by another relay/);
  await leaving.kill("SIGTERM");
  await staying.start();
  const drained = mailroute(["drain", "--config", config]);
  assert.equal(drained.err, "");
  assert.match(drained.out.at(-1) ?? "", /5 messages handed over, the spool is empty/);
  // They keep their back-off, too.
  const socket = join(staying.directory, "spool/control.sock");
  assert.deepEqual(mailroute(["queue", "retry", "--all", "--socket", socket]).out, [
    "retry: 5 messages, 5 recipients",
  ]);
  await eventually(() => received.length === 5, { msMax: 20_000, what: "all have arrived" });
  const told = staying.log().filter(({ event }) => event === "taken-over");
  assert.deepEqual(told.map(({ id }) => id).toSorted(), ids.toSorted());
  assert.match(mailroute(["drain", "--config", config]).out.at(-1) ?? "", /0 messages handed over/);
});
