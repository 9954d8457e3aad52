/** `npm run check`: everything about the code that needs no running of it. */
import { conclude, runSteps, tool } from "./run.ts";

const failed = await runSteps([
  { name: "types", command: tool("tsc"), args: ["--noEmit"] },
  {
    name: "format, imports and layers",
    command: tool("biome"),
    args: ["check", "--error-on-warnings", "."],
  },
  {
    name: "promises and switches",
    command: tool("oxlint"),
    args: ["--type-aware", "--deny-warnings"],
  },
  { name: "dead code", command: tool("knip"), args: [] },
  {
    name: "generated CRDs and schemas",
    command: process.execPath,
    args: ["crds/generate.ts", "--check"],
  },
  {
    name: "generated charts",
    command: process.execPath,
    args: ["charts/generate.ts", "--check"],
  },
  { name: "assembled WebAssembly", command: process.execPath, args: ["test/wasm.ts", "--check"] },
  { name: "generated reference", command: process.execPath, args: ["docs/generate.ts", "--check"] },
]);
conclude(failed);
