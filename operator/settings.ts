/** The operator's settings: pure. From flags, checked once, with words for what is wrong. */
import { z } from "zod";
import type { KubeObject } from "../kube/api.ts";
import type { Installation } from "../routing/delegation.ts";
import { parseBlock } from "../routing/network.ts";

const label = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$/, {
  error: "must be lower-case letters, digits and hyphens, at most 50",
});

const notNetwork = {
  error: "is not an address or network: write it like 192.0.2.0/24 or 2001:db8::/32",
};

export const settingsSchema = z.strictObject({
  name: label.describe("The installation's name: those of all its objects begin with it."),
  namespace: label.describe(
    "Where the installation lives, and whose MailRoutes may claim anything.",
  ),
  identity: z.string().min(1).max(253).describe("Who this process is: the pod's name."),
  className: label.default("default").describe("Serves MailRoutes of this className."),
  delegation: z
    .enum(["required", "off"])
    .default("required")
    .describe("off: every namespace may claim everything."),
  deniedNetworks: z
    .array(z.string().refine((text) => parseBlock(text) !== undefined, notNetwork))
    .max(64)
    .default([])
    .describe("Networks that tenants' routes may not reach: API server, Services."),
  watchNamespaces: z
    .array(z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, { error: "is no namespace" }))
    .max(100)
    .default([])
    .describe(
      "Watches these namespaces only, its own always; empty: all. Grants come from a file.",
    ),
  grants: z.array(z.looseObject({})).max(1000).default([]),
  relaySelector: z.string().min(1).max(1000).describe("Label selector of the relay pods."),
  relayAdminPort: z.coerce.number().int().min(1).max(65_535).default(9090),
  adminHost: z.string().default("::"),
  adminPort: z.coerce.number().int().min(0).max(65_535).default(9090),
});

export type OperatorSettings = {
  readonly name: string;
  readonly namespace: string;
  readonly identity: string;
  readonly installation: Installation;
  /** Undefined: the whole cluster. */
  readonly watchNamespaces: readonly string[] | undefined;
  /** MailGrants as resources, where they are not watched. */
  readonly grants: readonly KubeObject[];
  readonly relays: { readonly selector: string; readonly adminPort: number };
  readonly admin: { readonly host: string; readonly port: number };
};

export type ParsedSettings =
  | { readonly ok: true; readonly settings: OperatorSettings }
  | { readonly ok: false; readonly complaints: readonly string[] };

export function parseSettings(raw: unknown): ParsedSettings {
  const result = settingsSchema.safeParse(raw);
  if (!result.success) {
    return {
      ok: false,
      complaints: result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`),
    };
  }
  const { name, namespace, identity, className, delegation, deniedNetworks, ...rest } = result.data;
  const { watchNamespaces, grants } = rest;
  if (watchNamespaces.length === 0 && grants.length > 0) {
    const text =
      "MailGrants are watched unless watchNamespaces is given: apply them to the cluster";
    return { ok: false, complaints: [`grants: ${text}`] };
  }
  return {
    ok: true,
    settings: {
      name,
      namespace,
      identity,
      installation: { namespace, className, delegation, deniedNetworks },
      watchNamespaces:
        watchNamespaces.length === 0 ? undefined : [...new Set([namespace, ...watchNamespaces])],
      grants,
      relays: { selector: rest.relaySelector, adminPort: rest.relayAdminPort },
      admin: { host: rest.adminHost, port: rest.adminPort },
    },
  };
}
