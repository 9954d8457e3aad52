/**
 * Writes docs/configuration.md and docs/metrics.md from the code: every setting from the configuration's
 * schema, every metric from its declaration. `--check` exits 1 where a file is not current.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Registry } from "prom-client";
import { z } from "zod";
import { createOperatorMetrics } from "../operator/metrics.ts";
import { configSchema } from "../relay/config/config.ts";
import { createMetrics } from "../relay/observe/metrics.ts";

type JsonSchema = {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
  readonly required?: readonly string[];
};

const configurationHead = `# The relay's configuration file

\`mailroute relay --config FILE\` reads one YAML file. Four settings have no default: \`hostname\`,
\`spool.directory\`, \`listeners\`, and one of \`routes.directory\` and \`routes.installation\`. A setting that is
not listed here is an error, and every error names the field and the mend; \`--check\` only checks. This page is
generated from the schema.

\`\`\`yaml
hostname: relay.corp.example
routes: {directory: /etc/mailroute/routes}
spool: {directory: /var/spool/mailroute}
listeners:
  - {name: smtp, host: "::", port: 2525}
trustedNetworks: [192.0.2.0/24]     # who may send anywhere; nobody by default
\`\`\`

More listeners, with certificates and a balancer in front:

\`\`\`yaml
listeners:
  - name: smtp
    proxyProtocol: {port: 2526, balancers: [203.0.113.10]}
  - {name: submission, kind: submission}
  - {name: inside, host: 192.0.2.9, port: 2527, trusted: true}
tls:
  certificates:
    - {certificateFile: /etc/mailroute/mx.pem, keyFile: /etc/mailroute/mx.key}
    - {certificateFile: /etc/mailroute/smtp.pem, keyFile: /etc/mailroute/smtp.key}
  clientCertificates: {caFile: /etc/mailroute/devices-ca.pem, names: ["*.printers.corp.example"]}
\`\`\`

| setting | default | meaning |
|---|---|---|
`;

const metricsHead = `# Metrics

On \`/metrics\` of the admin port, for Prometheus, beside Node's own (\`process_*\`, \`nodejs_*\`). Label sets are
closed; \`route\` is the MailRoute's namespace/name, or \`outbound\`; \`hop\` is host:port of a target, or \`mx\`.
Those that begin with \`mailroute_operator_\` are the operator's, the others the relay's. This page is generated
from the declarations.

| metric | type | labels | meaning |
|---|---|---|---|
`;

function settings(schema: JsonSchema, path: string): string[] {
  const rows: string[] = [];
  for (const [name, each] of Object.entries(schema.properties ?? {})) {
    const here = path === "" ? name : `${path}.${name}`;
    const inner = each.properties === undefined ? each.items : each;
    const isList = each.properties === undefined && each.items?.properties !== undefined;
    const isRequired = schema.required?.includes(name) === true && each.default === undefined;
    if (each.properties === undefined || each.description !== undefined) {
      rows.push(row(here, each, isRequired));
    }
    if (inner?.properties !== undefined) rows.push(...settings(inner, isList ? `${here}[]` : here));
  }
  return rows;
}

function row(path: string, schema: JsonSchema, isRequired: boolean): string {
  const isGroup = schema.properties !== undefined;
  const fallback = isGroup ? "" : isRequired ? "*required*" : shown(schema.default);
  const choice = schema.enum === undefined ? "" : ` One of ${schema.enum.map(String).join(", ")}.`;
  const isNumber = schema.type === "integer" && schema.minimum !== undefined;
  const range = isNumber ? ` From ${schema.minimum} to ${schema.maximum}.` : "";
  return `| \`${path}\` | ${fallback} | ${(schema.description ?? "") + choice + range} |`;
}

function shown(value: unknown): string {
  return value === undefined ? "" : `\`${JSON.stringify(value)}\``;
}

async function metricsRows(registry: Registry): Promise<string[]> {
  const all = await registry.getMetricsAsJSON();
  const declared = all.map(
    ({ name }) => registry.getSingleMetric(name) as unknown as { labelNames: string[] },
  );
  return all.flatMap(({ name, type, help }, index) => {
    if (!name.startsWith("mailroute_")) return [];
    const labels = (declared[index]?.labelNames ?? []).filter((label) => label !== "le").join(", ");
    return [`| \`${name}\` | ${type} | ${labels} | ${help} |`];
  });
}

const relayMetrics = createMetrics({
  queued: () => 0,
  held: () => 0,
  active: () => 0,
  oldestSeconds: () => 0,
  spoolBytes: () => 0,
  connections: () => 0,
  problems: () => 0,
  table: () => undefined,
});
const metrics = [
  ...(await metricsRows(relayMetrics.registry)),
  ...(await metricsRows(createOperatorMetrics().registry)),
];
const schema = z.toJSONSchema(configSchema, { io: "output" }) as JsonSchema;
const files = {
  "configuration.md": `${configurationHead}${settings(schema, "").join("\n")}\n`,
  "metrics.md": `${metricsHead}${metrics.join("\n")}\n`,
};
const isCheck = process.argv.includes("--check");
for (const [name, text] of Object.entries(files)) {
  const path = join(import.meta.dirname, name);
  if (!isCheck) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) {
    console.error(`docs/${name} is not current: run npm run generate`);
    process.exitCode = 1;
  }
}
process.exit();
