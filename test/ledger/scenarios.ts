/** What is done to a relay while the ledger runs: each scenario drives one ledger and gives the reckoning. */
import type { Ledger } from "./ledger.ts";
import type { Reckoning } from "./reckoning.ts";

export type Load = {
  readonly seconds: number;
  readonly connections: number;
  readonly messagesPerSecond: number;
};

const steady = 40;
const settleMs = 300_000;
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Domains d0..d39.test to "one", moving.test to and fro, flapping.test to a sink that comes and goes. */
export async function fullLoad(ledger: Ledger, load: Load): Promise<Reckoning> {
  for (let index = 0; index < steady; index++) ledger.rule(`d${index}.test`, "one");
  ledger.rule("moving.test", "one");
  ledger.rule("flapping.test", "flapping");
  await ledger.relay.start();
  const generator = ledger.generate({
    ...load,
    bodyBytes: 4096,
    address(number) {
      const domain =
        number % 10 === 0
          ? "moving.test"
          : number % 10 === 1
            ? "flapping.test"
            : `d${number % steady}.test`;
      return { to: `user${number}@${domain}`, domain };
    },
  });
  const endMs = Date.now() + load.seconds * 1000;
  for (let turn = 0; Date.now() < endMs; turn++) {
    ledger.rule("moving.test", turn % 2 === 0 ? "two" : "one");
    const flapping = ledger.sinks.get("flapping");
    if (turn % 10 === 3) await flapping?.down();
    if (turn % 10 === 8) await flapping?.up();
    await sleep(200);
  }
  await ledger.sinks.get("flapping")?.up();
  return await ledger.settle(generator, settleMs);
}

export type Kills = Load & { readonly kills: number; readonly random: () => number };

/** kill -9 at random moments under load; `inFlight` is what each start found unfinished on disk, in all. */
export async function killed(
  ledger: Ledger,
  options: Kills,
): Promise<Reckoning & { readonly inFlight: number }> {
  for (const domain of ["a.test", "b.test", "c.test"]) ledger.rule(domain, domain);
  await ledger.relay.start();
  const generator = ledger.generate({
    ...options,
    bodyBytes: 4096,
    address(number) {
      const domain = ["a.test", "b.test", "c.test"][number % 3] ?? "a.test";
      return { to: `user${number}@${domain}`, domain };
    },
  });
  let inFlight = 0;
  for (let kill = 0; kill < options.kills; kill++) {
    await sleep(50 + options.random() * 450);
    await ledger.relay.kill("SIGKILL");
    await ledger.relay.start();
    inFlight += queuedAtStart(ledger);
  }
  return { ...(await ledger.settle(generator, settleMs)), inFlight };
}

function queuedAtStart(ledger: Ledger): number {
  const started = ledger.relay.log().findLast((line) => line["event"] === "started");
  return Number(started?.["queued"]);
}
