/**
 * The schema of MailGrant: which namespaces may claim which domains, which hosts they may name, and whom
 * their workloads may send as. Cluster-scoped, written by admins. The same source for CRD and parser.
 */
import * as z from "zod";
import { limits } from "./limits.ts";
import { type Rule, withRules } from "./rules.ts";
import {
  apiVersion,
  className,
  dkimSelector,
  domainName,
  hostPattern,
  labelKey,
  labelValue,
  metadata,
  namespaceName,
  objectName,
  port,
  senders,
  setOf,
  suffix,
} from "./schema.ts";

const expression = withRules(
  z.strictObject({
    key: labelKey,
    operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"]),
    values: setOf(labelValue, limits.grantSelectorTermsMax).optional(),
  }),
  [
    {
      cel: "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
      message: "values belong to the operators In and NotIn, and to no other",
      fieldPath: "values",
      check: ({ operator, values }) =>
        (operator === "In" || operator === "NotIn") === (values ?? []).length > 0,
    },
  ],
);

const selector = z
  .strictObject({
    matchLabels: z.record(labelKey, labelValue).optional().meta({ maxProperties: 32 }),
    matchExpressions: setOf(expression, limits.grantSelectorTermsMax).optional(),
  })
  .describe("As in Kubernetes: all terms must hold; {} is every namespace.");

export const grantNamespaces = withRules(
  z.strictObject({
    names: setOf(namespaceName, limits.grantNamespacesMax).optional(),
    selector: selector.optional(),
  }),
  [
    {
      cel: "(has(self.names) && size(self.names) > 0) || has(self.selector)",
      message: "name at least one namespace, or give a selector",
      fieldPath: "",
      check: (self) => (self.names ?? []).length > 0 || self.selector !== undefined,
    },
  ],
);

const targetHost = z.strictObject({
  host: hostPattern.describe(
    'A name, "*.corp.example" (any name under it), "*" (any name), a name of SRV records, an address or a CIDR block. ' +
      "Loopback, link-local and Service addresses must be named as address or block.",
  ),
  ports: setOf(port, limits.grantPortsMax).optional().describe("Default: every port."),
});

const dkim = z.strictObject({
  domain: domainName.describe(
    "Of the authors (From) whose mail is signed, and of the signature (d=): this domain and all under it, unless a longer one is named.",
  ),
  selector: dkimSelector.describe("The key's name in DNS: SELECTOR._domainkey.DOMAIN."),
  secretRef: z.strictObject({
    name: objectName.describe(
      "A Secret in the installation's namespace with dkim.key: a private key in PEM, RSA or Ed25519.",
    ),
  }),
});

const plainSpec = z.strictObject({
  className: className.default("default").describe("The installation that it is for."),
  namespaces: grantNamespaces,
  suffixes: z
    .array(suffix)
    .min(1)
    .max(limits.grantSuffixesMax)
    .meta({ "x-kubernetes-list-type": "atomic" })
    .describe(
      "What they may claim: these domains and all under them, unless a longer grant covers it.",
    ),
  targets: z
    .strictObject({
      hosts: z
        .array(targetHost)
        .max(limits.grantHostsMax)
        .describe("The hosts that their routes may name; an empty list is none.")
        .meta({ "x-kubernetes-list-type": "atomic" }),
    })
    .optional()
    .describe("Left out: every host but loopback, link-local and the denied networks."),
  senders: senders.optional().describe("Whom their workloads may send as."),
  dkim: z
    .array(dkim)
    .max(limits.grantDkimMax)
    .optional()
    .meta({ "x-kubernetes-list-type": "atomic" })
    .describe(
      "Domains under the suffixes whose authors' mail is signed where it goes out by MX, or where a MailRoute asks for it.",
    ),
  allowAnyone: z.boolean().default(false).describe("Whether their routes may have access Anyone."),
  limits: z
    .strictObject({
      routes: z.int().min(0).max(limits.grantRoutesMax).optional(),
      keys: z.int().min(0).max(limits.grantKeysMax).optional(),
      messagesPerHour: z
        .int()
        .min(1)
        .max(limits.grantMessagesPerHourMax)
        .optional()
        .describe("What their authenticated workloads may send together, over all relays."),
    })
    .default({})
    .describe("Of each namespace under this grant."),
});

const specRules: readonly Rule<z.output<typeof plainSpec>>[] = [
  {
    cel: "!self.allowAnyone || !('.' in self.suffixes)",
    message: 'allowAnyone with the suffix "." would let a tenant receive for every domain',
    fieldPath: "allowAnyone",
    check: ({ allowAnyone, suffixes }) => !allowAnyone || !suffixes.includes("."),
  },
];

const specTransitions = [
  {
    cel: "self.className == oldSelf.className",
    message: "className is immutable: delete the MailGrant and create it under the other class",
    fieldPath: "className",
  },
];

export const mailGrantSpec = withRules(plainSpec, specRules, specTransitions);

export const mailGrantSchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal("MailGrant"),
  metadata,
  spec: mailGrantSpec,
  status: z.unknown().optional(),
});

export type MailGrant = z.output<typeof mailGrantSchema>;
