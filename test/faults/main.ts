/**
 * `npm run crash -- --kills 200 --answered 100000 [--faults 5] [--up-ms 2000] [--seed N]`: a relay under load is
 * killed, its disk broken and its power taken, over and over; then the books. Exit 1 where anything answered is
 * missing, at a wrong host or not whole, or came twice without a reason.
 */
import { optionsOf } from "../options.ts";
import { crashed } from "./crash.ts";
import { buildShim } from "./shim.ts";

const values = optionsOf(import.meta.filename, {
  kills: { type: "string", default: "200" },
  answered: { type: "string", default: "100000" },
  faults: { type: "string", default: "5" },
  "up-ms": { type: "string", default: "2000" },
  seed: { type: "string", default: String(Date.now() % 1e9) },
});
const built = await buildShim();
if ("missing" in built) throw new Error(built.missing);
const numberOf = (name: keyof typeof values, max: number): number => {
  const value = Number(values[name]);
  if (!(value >= 0 && value <= max)) throw new RangeError(`--${name} must be 0 to ${max}`);
  return value;
};
const seed = numberOf("seed", 1e12);
console.log(`--seed ${seed}`);
const startedMs = Date.now();
const report = await crashed({
  library: built.path,
  seed,
  kills: numberOf("kills", 10_000),
  faultRounds: numberOf("faults", 1000),
  answeredMin: numberOf("answered", 10_000_000),
  upMsMax: numberOf("up-ms", 60_000),
  settleMsMax: 600_000,
  told: (line) => console.log(line),
});
console.log(JSON.stringify(report, undefined, 2));
console.log(`${((Date.now() - startedMs) / 1000).toFixed(0)} s`);
const { missing, wrongHost, damaged, corrupt, causes } = report;
process.exit(missing + wrongHost + damaged + corrupt + causes.unexplained === 0 ? 0 : 1);
