/**
 * Writes the CRDs and the editors' JSON schemas from the zod schemas in routing/.
 * `node crds/generate.ts` writes; `--check` writes nothing and exits 1 where a file is not current.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { stringify } from "yaml";
import { definitions, editorSchemas } from "./custom-resource.ts";

const notice = "# Generated from routing/ by `npm run generate`. Do not edit.\n";

/** File name (beside this file) to content. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const yaml = (value: unknown) =>
    notice + stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
  const json = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;
  return new Map([
    ["mailroutes.yaml", yaml(definitions.mailroutes)],
    ["mailgrants.yaml", yaml(definitions.mailgrants)],
    ["mailroute.schema.json", json(editorSchemas.mailroute)],
    ["mailgrant.schema.json", json(editorSchemas.mailgrant)],
  ]);
}

function current(file: URL): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function main(flags: readonly string[]): void {
  const unknown = flags.find((flag) => flag !== "--check");
  if (unknown !== undefined) {
    console.error(`generate: unknown option ${unknown}; there is only --check`);
    process.exitCode = 2;
    return;
  }
  for (const [name, content] of generatedFiles()) {
    const file = new URL(name, import.meta.url);
    if (current(file) === content) continue;
    if (flags.includes("--check")) {
      console.error(`crds/${name} is not current: run npm run generate and commit the result`);
      process.exitCode = 1;
    } else {
      writeFileSync(file, content);
      console.log(`wrote crds/${name}`);
    }
  }
}

if (import.meta.main) main(process.argv.slice(2));
