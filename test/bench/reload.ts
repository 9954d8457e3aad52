/**
 * `npm run bench:reload [-- --json] [--reloads N] [--rate N]`: 10,000 MailRoutes with 100,000 domains, edited and
 * reloaded under load. Prints the longest block of the relay's event loop over each reload beside that of the same load
 * without reloads, how long an edit takes to count, and connections dropped.
 */
import { openLedger } from "../ledger/ledger.ts";
import { eventually, hostsRoute } from "../ledger/relay-process.ts";
import { optionsOf } from "../options.ts";

const values = optionsOf(import.meta.filename, {
  json: { type: "boolean", default: false },
  reloads: { type: "string", default: "10" },
  rate: { type: "string", default: "200" },
});
const files = 100;
const routesPerFile = 100;
const domainsPerRoute = 10;

const ledger = await openLedger({ hosts: ["one", "two"], relay: { keepLog: false } });
const { relay } = ledger;
const sink = ledger.sinks.get("one");
for (let file = 0; file < files; file++) relay.routes(`bulk${file}.yaml`, fileOf(file, 0));
ledger.rule("load.test", "one");
const startMs = performance.now();
await relay.start();
const startedMs = performance.now() - startMs;
const generator = ledger.generate({
  connections: 20,
  messagesPerSecond: Number(values.rate),
  bodyBytes: 4096,
  address: (number) => ({ to: `u${number}@load.test`, domain: "load.test" }),
});
await sleep(2000);
const quietMs: number[] = [];
for (let round = 0; round < Number(values.reloads); round++) {
  await blockMs();
  await sleep(1000);
  quietMs.push(await blockMs());
}
const blocksMs: number[] = [];
const tookMs: number[] = [];
for (let round = 0; round < Number(values.reloads); round++) {
  const before = await digest();
  await blockMs();
  const editedMs = performance.now();
  relay.routes(`bulk${round % files}.yaml`, fileOf(round % files, round + 1));
  await eventually(async () => (await digest()) !== before, {
    msMax: 30_000,
    what: "the edit counts",
  });
  tookMs.push(performance.now() - editedMs);
  await sleep(300);
  blocksMs.push(await blockMs());
}
const reckoning = await ledger.settle(generator, 30_000);
const dropped = reckoning.sent - reckoning.answered;
await ledger.close();
const result = {
  domains: files * routesPerFile * domainsPerRoute,
  startMs: Math.round(startedMs),
  editCountsMs: round(Math.max(...tookMs)),
  blockMsMax: round(Math.max(...blocksMs)),
  blockMsMedian: round(median(blocksMs)),
  quietBlockMsMax: round(Math.max(...quietMs)),
  quietBlockMsMedian: round(median(quietMs)),
  unanswered: dropped,
  missing: reckoning.missing,
};
if (values.json) console.log(JSON.stringify(result));
else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(20)} ${value}`);
process.exit(0);

/** The same domains; the port's edit makes a hundred routes of the file new ones. */
function fileOf(file: number, edit: number): object[] {
  return Array.from({ length: routesPerFile }, (_, route) => {
    const number = file * routesPerFile + route;
    const suffixes = Array.from(
      { length: domainsPerRoute },
      (_each, index) => `d${number}-${index}.bulk.test`,
    );
    return hostsRoute(`bulk-${number}`, { suffixes }, [
      { host: "127.0.0.1", port: (sink?.port ?? 0) - edit },
    ]);
  });
}

/** The longest event-loop block since the last time it was asked, in ms. */
async function blockMs(): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${relay.adminPort()}/metrics`)).text();
  return Number(/^mailroute_eventloop_block_seconds_max (\S+)/m.exec(text)?.[1]) * 1000;
}

async function digest(): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${relay.adminPort()}/revision`);
  return ((await answer.json()) as { digest: string }).digest;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function round(ms: number): number {
  return Number(ms.toFixed(1));
}

function median(list: readonly number[]): number {
  return list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0;
}
