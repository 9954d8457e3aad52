/**
 * Writes what the charts take from the code: the values' JSON schema, and the CRDs.
 * `node charts/generate.ts` writes; `--check` writes nothing and exits 1 where a file is not current.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { stringify } from "yaml";
import * as z from "zod";
import { definitions } from "../crds/custom-resource.ts";
import { valuesSchema } from "./values.ts";

const notice = "# Generated from routing/ by `npm run generate`. Do not edit.\n";

/** Uninstalling the chart must not delete everybody's MailRoutes. */
function kept(definition: typeof definitions.mailroutes): string {
  const metadata = {
    ...(definition["metadata"] as object),
    annotations: { "helm.sh/resource-policy": "keep" },
  };
  const text = stringify(
    { ...definition, metadata },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
  if (text.includes("{{")) throw new Error("a CRD has braces that Helm would take for a template");
  return notice + text;
}

/** CEL is the API server's; Helm knows JSON schema. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([name]) => !name.startsWith("x-kubernetes-"));
  return Object.fromEntries(entries.map(([name, each]) => [name, plain(each)]));
}

/** File name (beside this file) to content. */
export function chartFiles(): ReadonlyMap<string, string> {
  const schema = z.toJSONSchema(valuesSchema, {
    io: "input",
    target: "draft-7",
    unrepresentable: "any",
  });
  return new Map([
    ["mailroute/values.schema.json", `${JSON.stringify(plain(schema), undefined, 2)}\n`],
    ["mailroute-crds/templates/mailroutes.yaml", kept(definitions.mailroutes)],
    ["mailroute-crds/templates/mailgrants.yaml", kept(definitions.mailgrants)],
  ]);
}

function main(isCheck: boolean): void {
  for (const [name, content] of chartFiles()) {
    const file = new URL(name, import.meta.url);
    if (!isCheck) {
      writeFileSync(file, content);
      continue;
    }
    if (readFileSync(file, "utf8") === content) continue;
    console.error(`charts/${name} is not current: run npm run generate and commit the result`);
    process.exitCode = 1;
  }
}

if (import.meta.main) main(process.argv.includes("--check"));
