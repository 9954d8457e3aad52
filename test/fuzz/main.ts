/**
 * `npm run fuzz -- --minutes N [--seed S] [--target NAME]`: random inputs against slow oracles, until a finding
 * (exit 1, its input in hex) or the end. `--input HEX --target NAME` tries one input again.
 */
import { optionsOf } from "../options.ts";
import { fuzz } from "./fuzz.ts";
import { failureOf } from "./shrink.ts";
import { targets } from "./targets.ts";

const values = optionsOf(import.meta.filename, {
  minutes: { type: "string", default: "1" },
  seed: { type: "string", default: String(Date.now() % 2 ** 32) },
  target: { type: "string" },
  input: { type: "string" },
});
const chosen = targets.filter(({ name }) => values.target === undefined || name === values.target);
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0 && minutes <= 24 * 60))
  throw new RangeError("--minutes must be over 0, at most 1440");
if (!Number.isInteger(seed)) throw new RangeError("--seed must be a whole number");
if (chosen.length === 0)
  throw new RangeError(`--target is one of ${targets.map(({ name }) => name)}`);

process.exitCode = values.input === undefined ? await search() : await retry(values.input);

async function search(): Promise<number> {
  console.log(`seed ${seed}`);
  const endsAt = performance.now() + minutes * 60_000;
  const goesOn = (): boolean => performance.now() < endsAt;
  const { tried, finding } = await fuzz({ targets: chosen, seed, goesOn });
  for (const [name, count] of tried) console.log(`${name}: ${count} inputs`);
  if (finding === undefined) return 0;
  const { target, input, error } = finding;
  console.log(
    `finding in ${target}, seed ${seed}: --target ${target} --input ${input.toString("hex")}`,
  );
  console.log(JSON.stringify(input.toString("latin1")));
  console.log(error.stack);
  return 1;
}

async function retry(hex: string): Promise<number> {
  let found = 0;
  for (const target of chosen) {
    const error = await failureOf(target, Buffer.from(hex, "hex"));
    console.log(target.name, error?.stack ?? "agrees");
    if (error !== undefined) found = 1;
  }
  return found;
}
