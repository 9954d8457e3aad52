/**
 * The relay's configuration file: its schema, defaults and errors. Pure: text in, Config or a list of
 * complaints out, each naming the field and what to write instead. Reading the file is main's work.
 */
import { isIP } from "node:net";
import { parse } from "yaml";
import { z } from "zod";
import { parseAddress } from "../../routing/address.ts";
import { parseDomain } from "../../routing/domain.ts";
import { hostlessNetworks } from "../../routing/network.ts";
import { authenticationContradictions, authenticationSchema } from "./authentication.ts";
import { handoverSchema } from "./handover.ts";
import {
  deliveryLimitsSchema,
  queueLimitsSchema,
  receivingLimitsSchema,
  spoolLimitsSchema,
} from "./limits.ts";
import { endpointsOf, listenerContradictions, listenerSchema } from "./listeners.ts";
import { isWithin, network, path, port } from "./spellings.ts";
import { tlsSchema } from "./tls.ts";

const domainName = z.string().refine((text) => parseDomain(text) !== undefined, {
  error: "is not a host name: write it like relay.corp.example",
});
const mailbox = z.string().refine((text) => parseAddress(text) !== undefined, {
  error: "is not a mail address: write it like postmaster@corp.example",
});
const dnsLabel = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, {
  error: "must be lower-case letters, digits and hyphens",
});

const nextHost = z.strictObject({
  host: z.string().min(1).max(253),
  port: port.default(25),
  priority: z.int().min(0).max(65_535).default(10),
  weight: z.int().min(0).max(65_535).default(1),
});

const outbound = z.strictObject({
  port: port.default(25).describe("Port of mail exchangers; 25 except in tests."),
  tls: z.enum(["Disabled", "Opportunistic", "Required"]).default("Opportunistic"),
  mtaSts: z
    .boolean()
    .default(true)
    .describe(
      "Keep to the MTA-STS policies (RFC 8461) of domains that mail goes to by MX: where one says enforce, only to the mail hosts that it names, over TLS with a verified certificate.",
    ),
  deniedNetworks: z
    .array(network)
    .max(256)
    .default([...hostlessNetworks])
    .describe("Addresses to which an MX must not lead."),
});

const dnsServer = z.string().refine(isDnsServer, {
  error: "is not an address: write it like 10.0.0.10, 127.0.0.1:5353 or [2001:db8::1]:53",
});

/** What c-ares takes: an address, or one with a port. */
function isDnsServer(text: string): boolean {
  const [, bracketed, plain, port = "53"] =
    /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  return isIP(text) !== 0 || (isIP(bracketed ?? plain ?? "") !== 0 && Number(port) <= 65_535);
}

const dns = z.strictObject({
  servers: z
    .array(dnsServer)
    .max(8)
    .default([])
    .describe("DNS servers as address or address:port; empty means those of the system."),
  searchDomains: z.array(domainName).max(8).default([]),
  timeoutMsMax: z.int().min(100).max(60_000).default(5000),
});

export const configSchema = z.strictObject({
  hostname: domainName.describe("The relay's own name: banner, EHLO, Received, DSNs."),
  postmaster: mailbox
    .optional()
    .describe("Where mail to <postmaster> goes; default postmaster@hostname."),
  className: z.string().default("default").describe("Serves MailRoutes of this className."),
  namespace: z
    .string()
    .default("mail")
    .describe("The installation's namespace: its MailRoutes may claim anything."),
  routes: z
    .strictObject({
      directory: path
        .optional()
        .describe("A directory of MailRoute YAML files, watched while running."),
      installation: z
        .strictObject({ name: dnsLabel, namespace: dnsLabel })
        .optional()
        .describe("The operator's installation whose ConfigMaps hold the table, in a cluster."),
      deniedNetworks: z
        .array(network)
        .max(256)
        .default([])
        .describe(
          "Networks that routes of other namespaces may not reach: API server, Services. Loopback and link-local never need naming; a MailGrant's targets.hosts may allow some of them.",
        ),
    })
    .describe("Where the route table comes from: one of directory and installation."),
  spool: z
    .strictObject({
      directory: path,
      owner: z.string().min(1).max(253).optional().describe("Whose spool it is; default hostname."),
      startHeld: z
        .boolean()
        .default(false)
        .describe(
          "Hold everything that is in the spool at the start: for a volume that was put back from a snapshot. A spool that was put back file by file is noticed without it.",
        ),
      limits: spoolLimitsSchema.prefault({}),
    })
    .describe("Where accepted mail is kept."),
  listeners: z
    .array(listenerSchema)
    .min(1, "needs at least one listener")
    .max(16)
    .describe("Where mail is taken; several of any kind."),
  tls: tlsSchema.optional(),
  authentication: authenticationSchema
    .prefault({})
    .describe("Who may prove to be whom, by SASL over TLS."),
  trustedNetworks: z
    .array(network)
    .max(1024)
    .default([])
    .describe("Clients that may send anywhere. Nobody by default."),
  neverTrustedNetworks: z
    .array(network)
    .max(1024)
    .default([])
    .describe(
      "Addresses behind which source NAT may hide anybody: nodes, gateways, balancers. Nobody is trusted by such an address, even within trustedNetworks. The machine's own addresses, its default gateways and every proxyProtocol balancer count without being listed.",
    ),
  deniedNetworks: z.array(network).max(1024).default([]).describe("Clients refused at connect."),
  inbound: z
    .strictObject({
      hosts: z.array(nextHost).min(1).max(16),
      protocol: z.enum(["SMTP", "LMTP"]).default("LMTP"),
    })
    .optional()
    .describe("The mail store that `inbound: {}` routes go to."),
  outbound: outbound.prefault({}),
  dns: dns.prefault({}),
  limits: receivingLimitsSchema.prefault({}),
  queue: queueLimitsSchema.prefault({}),
  handover: handoverSchema
    .optional()
    .describe(
      "How a leaving relay hands its queue to the others. Without it, it stays on its volume.",
    ),
  delivery: deliveryLimitsSchema.prefault({}),
  retry: z
    .strictObject({
      initialMs: z.int().min(100).max(3_600_000).default(60_000),
      maxMs: z.int().min(100).max(86_400_000).default(3_600_000),
      expireAfterMs: z
        .int()
        .min(1000)
        .max(30 * 86_400_000)
        .default(5 * 86_400_000),
      delayWarningAfterMs: z
        .int()
        .min(1000)
        .max(30 * 86_400_000)
        .default(4 * 3_600_000),
    })
    .prefault({})
    .describe("For mail that no route names; a route's own `retry` counts for its mail."),
  admin: z
    .strictObject({
      host: z.string().default("127.0.0.1"),
      port: port.default(9090),
      queueTokenFile: path
        .optional()
        .describe(
          "A file with a token of at least 16 characters: whoever shows it (Authorization: Bearer) may see and change the queue at /queue. Without it only the local socket does.",
        ),
    })
    .prefault({})
    .describe("Where /metrics, /healthz, /readyz, /revision and /queue answer."),
  log: z
    .strictObject({ addresses: z.enum(["full", "hashed", "domain"]).default("full") })
    .prefault({}),
});

export type Config = z.infer<typeof configSchema>;
export type ConfigInput = z.input<typeof configSchema>;

export type ParsedConfig =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly complaints: readonly string[] };

/** What the command line says in place of the file. */
export type ConfigOverrides = { readonly spoolOwner?: string | undefined };

/** Parses the text of a configuration file; every complaint reads "field: what is wrong and the mend". */
export function parseConfig(text: string, overrides: ConfigOverrides = {}): ParsedConfig {
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (error) {
    // Besides what is no YAML: aliases that lead nowhere, or to too much.
    return { ok: false, complaints: [`not YAML: ${(error as Error).message}`] };
  }
  return checkConfig(overridden(raw ?? {}, overrides));
}

/** What is no mapping stays as it is, for the schema to complain of. */
function overridden(raw: unknown, { spoolOwner }: ConfigOverrides): unknown {
  const { spool } = raw as { readonly spool?: unknown };
  if (spoolOwner === undefined || typeof spool !== "object" || spool === null) return raw;
  return { ...(raw as object), spool: { ...spool, owner: spoolOwner } };
}

/** The same for a value that has been read already. */
export function checkConfig(raw: unknown): ParsedConfig {
  const result = configSchema.safeParse(raw, { reportInput: true });
  if (!result.success) return { ok: false, complaints: result.error.issues.map(complaint) };
  const complaints = contradictions(result.data);
  return complaints.length > 0 ? { ok: false, complaints } : { ok: true, config: result.data };
}

function complaint(issue: z.core.$ZodIssue): string {
  const field = issue.path.join(".") || "the file";
  if (issue.code === "unrecognized_keys") {
    return `${field}: no such setting: ${issue.keys.join(", ")}; remove it or mend its spelling`;
  }
  if (issue.code === "invalid_type" && issue.input === undefined) {
    return `${field}: is missing, and has no default; set it`;
  }
  return `${field}: ${issue.message}`;
}

function contradictions(config: Config): string[] {
  const found = [
    ...listenerContradictions(config.listeners, config.tls),
    ...authenticationContradictions(
      config.authentication,
      config.tls,
      endpointsOf(config.listeners),
    ),
    ...deadTrust(config),
  ];
  const { directory, installation } = config.routes;
  if (directory === undefined && installation === undefined) {
    found.push("routes: needs one of directory and installation; set routes.directory");
  }
  if (directory !== undefined && installation !== undefined) {
    found.push("routes: has both directory and installation; remove one of them");
  }
  if (config.retry.initialMs > config.retry.maxMs) {
    found.push("retry.initialMs: is larger than retry.maxMs; lower it");
  }
  return found;
}

/** Trust by address that could never count. */
function deadTrust({ listeners, trustedNetworks, neverTrustedNetworks }: Config): string[] {
  const never = [
    ...neverTrustedNetworks.map((text) => ({ text, where: "neverTrustedNetworks" })),
    ...listeners.flatMap(({ proxyProtocol }, index) =>
      (proxyProtocol?.balancers ?? []).map((text) => ({
        text,
        where: `listeners.${index}.proxyProtocol.balancers`,
      })),
    ),
  ];
  return trustedNetworks.flatMap((trusted, index) => {
    const outer = never.find(({ text }) => isWithin(trusted, text));
    if (outer === undefined) return [];
    return [
      `trustedNetworks.${index}: ${trusted} is within ${outer.text} of ${outer.where}, whom nobody trusts by address; remove one of the two`,
    ];
  });
}
