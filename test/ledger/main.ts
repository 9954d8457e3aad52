/**
 * `npm run ledger -- --seconds N [--connections N] [--rate N] [--json]`: full load while routes are changed every 200
 * ms and one next hop flaps, then the reckoning. Exit 1 where anything is missing or at a wrong host.
 */
import { optionsOf } from "../options.ts";
import { openLedger } from "./ledger.ts";
import { fullLoad } from "./scenarios.ts";

const values = optionsOf(import.meta.filename, {
  seconds: { type: "string", default: "60" },
  connections: { type: "string", default: "50" },
  rate: { type: "string", default: "0" },
  json: { type: "boolean", default: false },
});
const seconds = Number(values.seconds);
if (!(seconds > 0 && seconds <= 3600)) throw new RangeError("--seconds must be 1 to 3600");
const ledger = await openLedger({ hosts: ["one", "two", "flapping"], relay: { keepLog: false } });
const reckoning = await fullLoad(ledger, {
  seconds,
  connections: Number(values.connections),
  messagesPerSecond: Number(values.rate),
});
await ledger.close();
const { sent, answered, missing, wrongHost, duplicates } = reckoning;
if (!values.json) {
  console.log(`${(answered / seconds).toFixed(0)} messages/s answered over ${seconds} s`);
  if (missing > 0) console.log("missing:", reckoning.missingNumbers.join(" "));
  if (wrongHost > 0) console.log("wrong:", JSON.stringify(reckoning.wrongArrivals));
}
console.log(JSON.stringify({ sent, answered, missing, wrongHost, duplicates }));
process.exit(missing + wrongHost === 0 ? 0 : 1);
