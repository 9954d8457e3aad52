import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { compiled, way } from "../routing/compile.testkit.ts";
import { parseMailGrant, property } from "../routing/grants.ts";
import { type ParsedMailRoute, parseMailRoute, routeIdOf } from "../routing/parse-route.ts";
import { definitions, editorSchemas } from "./custom-resource.ts";
import { generatedFiles } from "./generate.ts";

test("crds: the generated files are current", () => {
  for (const [name, content] of generatedFiles()) {
    assert.equal(readFileSync(new URL(name, import.meta.url), "utf8"), content, name);
  }
});

type Node = {
  readonly type?: unknown;
  readonly maxItems?: unknown;
  readonly maxLength?: unknown;
  readonly maxProperties?: unknown;
  readonly pattern?: unknown;
};

/** Every object below a schema, with its path. */
function* nodes(value: unknown, path = ""): Generator<[string, Node]> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield [path, value];
  for (const [name, item] of Object.entries(value)) yield* nodes(item, `${path}.${name}`);
}

const isDefault = (path: string) => path.includes(".default");

test("crds: schemas are structural and every list, map and string of a spec has a bound", () => {
  for (const definition of Object.values(definitions)) {
    for (const [path, node] of nodes(definition)) {
      if (isDefault(path) || !path.includes(".openAPIV3Schema.properties.spec")) continue;
      for (const word of ["anyOf", "oneOf", "$ref", "const", "propertyNames"]) {
        assert.ok(!(word in node) || path.endsWith("properties"), `${path}: ${word}`);
      }
      const isBounded = {
        array: () => typeof node.maxItems === "number",
        string: () => typeof node.maxLength === "number" || "enum" in node || "format" in node,
        object: () => !("additionalProperties" in node) || typeof node.maxProperties === "number",
      }[String(node.type)];
      assert.ok(isBounded === undefined || isBounded(), path);
    }
  }
});

test("crds: patterns say nothing that RE2 does not know", () => {
  const sources = [...nodes(definitions)].map(([, { pattern }]) => pattern);
  const patterns = sources.filter((source) => typeof source === "string");
  assert.ok(patterns.length > 20);
  for (const source of patterns) {
    assert.doesNotMatch(source, /\(\?[=!<]|\\[1-9]|\\u|\\x|&&|\\p\{Cs/, source);
  }
});

test("crds: className is immutable in the CRD and unknown to the editors' schemas", () => {
  const text = JSON.stringify(definitions);
  assert.equal(text.split("self.className == oldSelf.className").length, 3);
  assert.doesNotMatch(JSON.stringify(editorSchemas), /x-kubernetes/);
});

function resources(folder: string): { file: string; resource: unknown }[] {
  const directory = new URL(`${folder}/`, import.meta.url);
  return readdirSync(directory)
    .filter((name) => name.endsWith(".yaml"))
    .flatMap((file) => {
      const text = readFileSync(new URL(file, directory), "utf8");
      return parseAllDocuments(text).map((document) => ({
        file,
        resource: document.toJS() as unknown,
      }));
    });
}

test("crds: every example is valid by itself", () => {
  const all = [...resources("examples"), ...resources("more-examples")];
  assert.ok(all.length > 12);
  for (const { file, resource } of all) {
    const isGrant = property(resource, "kind") === "MailGrant";
    const parsed: ParsedMailRoute | { ok: boolean; issues?: unknown } = isGrant
      ? parseMailGrant(resource)
      : parseMailRoute(resource);
    assert.deepEqual(parsed.ok ? [] : parsed.issues, [], file);
  }
});

test("crds: all examples together compile without a conflict, and hold the golden table", () => {
  const routes = resources("examples").map(({ resource }) => {
    const name = String(property(property(resource, "metadata"), "name"));
    return { id: routeIdOf("mail", name), resource };
  });
  const { table, verdicts } = compiled(routes);
  for (const [id, verdict] of verdicts) {
    assert.equal(verdict.kind, "accepted", id);
    assert.equal(verdict.kind === "accepted" ? verdict.unavailable : "", undefined, id);
  }
  const cases = [
    ["User@ms.example", "mail/golden-inbound by domain:ms.example"],
    ["a@sales.ms.example", "mail/golden-host1 by suffix:ms.example"],
    ["a@x.ms.example", "mail/golden-inbound by suffix:x.ms.example"],
    ["a@abc.x.ms.example", "mail/golden-inbound by suffix:x.ms.example"],
    ["a@pms.example", "outbound"],
    ["ceo+x@corp.example", "mail/ceo by address:ceo@corp.example"],
    ["a@hq.corp.example", "mail/headquarters by domain:hq.corp.example"],
  ];
  for (const [recipient = "", expected] of cases) assert.equal(way(table, recipient), expected);
  assert.equal(
    way(table, "a@partner.example", "a@billing.example"),
    "mail/invoices by suffix:partner.example",
  );
});
