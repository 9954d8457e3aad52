/**
 * Assembles the relay's WebAssembly from its text: `node test/wasm.ts` writes; `--check` writes nothing and exits 1
 * where a file is not current.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import wabt from "wabt";

const source = join(import.meta.dirname, "../relay/listener/plain-lines.wat");
const target = source.replace(/wat$/, "wasm");

const { parseWat } = await wabt();
const module = parseWat(source, readFileSync(source, "utf8"), { simd: true });
module.validate();
const made = Buffer.from(module.toBinary({}).buffer);
module.destroy();
if (!process.argv.includes("--check")) writeFileSync(target, made);
else if (!existsSync(target) || !readFileSync(target).equals(made)) {
  console.error(`${target} is not current: run npm run generate and commit the result`);
  process.exitCode = 1;
}
