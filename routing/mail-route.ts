/**
 * The schema of MailRoute: the one source of its CRD, its editors' JSON schema and its parser. Field
 * names are frozen (there is no conversion webhook). Defaults are applied when it is parsed.
 */
import * as z from "zod";
import { isService } from "./domain.ts";
import { limits } from "./limits.ts";
import { celSize, type Rule, withRules } from "./rules.ts";
import {
  apiVersion,
  className,
  domainName,
  domainOrLiteral,
  duration,
  hostName,
  mailbox,
  metadata,
  oneLine,
  port,
  replyText,
  secretRef,
  senders,
  setOf,
  suffix,
} from "./schema.ts";

const routeSenders = withRules(senders, [
  {
    cel: `${celSize("suffixes")} + ${celSize("domains")} + ${celSize("addresses")} > 0`,
    message: "name at least one of suffixes, domains and addresses, or leave senders out",
    fieldPath: "",
    check: (self) => count(self) > 0,
  },
]);

const host = withRules(
  z.strictObject({
    host: hostName.describe(
      "Host name, IP address without brackets, or the name of SRV records (_smtp._tcp.corp.example): they say hosts, ports and their order.",
    ),
    port: port.optional().describe("Default: 25, and 24 where protocol is LMTP."),
    priority: z
      .int()
      .min(0)
      .max(limits.priorityMax)
      .default(10)
      .describe("Lower goes first, as with MX."),
    weight: z
      .int()
      .min(0)
      .max(limits.weightMax)
      .default(1)
      .describe("Share among hosts of equal priority; 0 only where no other is left."),
  }),
  [
    {
      cel: "!has(self.port) || !self.host.startsWith('_')",
      message: "SRV records name the port: leave port out, or name a host",
      fieldPath: "port",
      check: ({ host: name, port: own }) => own === undefined || !isService(name),
    },
  ],
);

const emptyObject = z.strictObject({});

const reject = withRules(
  z.strictObject({
    code: z.int().min(400).max(599).default(550).describe("SMTP reply code, 4xx or 5xx."),
    status: z
      .string()
      .max(11)
      .regex(/^[45]\.[0-9]{1,3}\.[0-9]{1,3}$/u, 'must be an enhanced status code such as "5.1.2"')
      .default("5.1.2")
      .describe("Enhanced status code (RFC 3463)."),
    message: replyText.default("no such domain here").describe("The text after the codes."),
  }),
  [
    {
      cel: "self.status.startsWith(self.code >= 500 ? '5' : '4')",
      message: "code and status must both be temporary (4xx, 4.x.x) or both permanent (5xx, 5.x.x)",
      fieldPath: "status",
      check: (self) => self.status.startsWith(self.code >= 500 ? "5" : "4"),
    },
  ],
);

const targetKinds = ["hosts", "inbound", "mx", "reject", "discard"] as const;

const target = withRules(
  z.strictObject({
    hosts: z.array(host).min(1).max(limits.hostsMax).optional().describe("These SMTP hosts."),
    inbound: emptyObject.optional().describe("The mail store that this installation was given."),
    mx: z
      .strictObject({
        domain: domainName.optional().describe("Look up this domain instead of the recipient's."),
      })
      .optional()
      .describe("The mail exchangers of the recipient's domain, by DNS."),
    reject: reject.optional().describe("Refuse at RCPT; everyone gets this answer."),
    discard: emptyObject.optional().describe("Accept, log, count, forget."),
  }),
  [
    {
      cel: `[${targetKinds.map((kind) => `has(self.${kind})`).join(", ")}].filter(x, x).size() == 1`,
      message: `exactly one of ${targetKinds.join(", ")}`,
      fieldPath: "",
      check: (self) => targetKinds.filter((kind) => self[kind] !== undefined).length === 1,
    },
  ],
);

const tls = z.strictObject({
  mode: z
    .enum(["Disabled", "Opportunistic", "Required", "Verified"])
    .default("Opportunistic")
    .describe("Required encrypts always; Verified also checks the host's certificate."),
  serverName: domainName.optional().describe("The name to verify. Default: the host's."),
  caSecretRef: secretRef.optional().describe("Secret with ca.crt: the only CAs to trust."),
  clientCertificateRef: secretRef.optional().describe("Secret with tls.crt and tls.key."),
});

const oauth2 = z.strictObject({
  tokenURL: z
    .string()
    .max(limits.urlCharsMax)
    .regex(/^https:\/\/[^\s/?#@]+(?:[/?][!-~]*)?$/u, "must be an https:// URL without user name")
    .describe("Where tokens are fetched (client credentials grant)."),
  clientID: oneLine(limits.oauthTextCharsMax),
  scope: oneLine(limits.oauthTextCharsMax).optional(),
  secretRef: secretRef.describe(
    "Secret with client-secret, and username for XOAUTH2; its ca.crt, if there, holds the only CAs to trust at tokenURL.",
  ),
});

const auth = withRules(
  z.strictObject({
    secretRef: secretRef.optional().describe("Secret of type kubernetes.io/basic-auth."),
    oauth2: oauth2
      .optional()
      .describe("An access token (RFC 6749 4.4) by XOAUTH2 in place of a password."),
  }),
  [
    {
      cel: "has(self.secretRef) != has(self.oauth2)",
      message: "exactly one of secretRef and oauth2",
      fieldPath: "",
      check: (self) => (self.secretRef !== undefined) !== (self.oauth2 !== undefined),
    },
  ],
);

const delivery = z.strictObject({
  maxConnections: z.int().min(1).max(limits.connectionsMax).optional(),
  maxMessagesPerConnection: z.int().min(1).max(limits.messagesPerConnectionMax).optional(),
  maxMessagesPerSecond: z.int().min(1).max(limits.messagesPerSecondMax).optional(),
});

const retry = z.strictObject({
  initial: duration.default("1m").describe("First wait; then doubled, with jitter."),
  max: duration.default("1h").describe("Longest wait between two attempts."),
  expireAfter: duration.default("5d").describe("Then the sender gets a non-delivery report."),
  delayWarningAfter: duration.default("4h").describe("Then a trusted sender gets a warning."),
});

const plainSpec = z.strictObject({
  className: className.default("default").describe("Which installation serves it; immutable."),
  suffixes: setOf(suffix, limits.suffixesMax)
    .optional()
    .describe('The domain and every subdomain of it; "." matches every domain.'),
  domains: setOf(domainOrLiteral, limits.domainsMax).optional().describe("Exactly this domain."),
  addresses: setOf(mailbox, limits.addressesMax).optional().describe("Exactly this mailbox."),
  senders: routeSenders.optional().describe("Only for mail from these senders."),
  access: z
    .enum(["Trusted", "Anyone"])
    .default("Trusted")
    .describe("Who may send here. Anyone: strangers too, as for domains that receive mail."),
  target,
  protocol: z.enum(["SMTP", "LMTP"]).default("SMTP").describe("For hosts and inbound."),
  heloName: domainName.optional().describe("Default: the installation's hostname."),
  tls: tls.default({ mode: "Opportunistic" }),
  auth: auth.optional(),
  dkim: z
    .enum(["ByMX", "Always"])
    .default("ByMX")
    .describe(
      "Which mail is signed, where a MailGrant has a key for the author's domain: what goes out by MX, or all of this route.",
    ),
  delivery: delivery.default({}).describe("Of the whole installation, shared by its relays."),
  retry: retry.default({
    initial: "1m",
    max: "1h",
    expireAfter: "5d",
    delayWarningAfter: "4h",
  }),
});

type Spec = z.output<typeof plainSpec>;
type Lists = {
  suffixes?: readonly unknown[] | undefined;
  domains?: readonly unknown[] | undefined;
  addresses?: readonly unknown[] | undefined;
};

function count(lists: Lists): number {
  return (
    (lists.suffixes?.length ?? 0) + (lists.domains?.length ?? 0) + (lists.addresses?.length ?? 0)
  );
}

const celKeys = `${celSize("suffixes")} + ${celSize("domains")} + ${celSize("addresses")}`;
const celSenders = `(has(self.senders) ? ${celKeys.replaceAll("self.", "self.senders.")} : 1)`;

const specRules: readonly Rule<Spec>[] = [
  {
    cel: `${celKeys} > 0`,
    message: "name at least one of suffixes, domains and addresses",
    fieldPath: "",
    check: (self) => count(self) > 0,
  },
  {
    cel: `(${celKeys}) * ${celSenders} <= ${limits.pairsPerRouteMax}`,
    message: `recipient keys times senders: at most ${limits.pairsPerRouteMax}; use several MailRoutes`,
    fieldPath: "",
    check: (self) =>
      count(self) * (self.senders === undefined ? 1 : count(self.senders)) <=
      limits.pairsPerRouteMax,
  },
  {
    cel: "!has(self.auth) || (has(self.tls) && (self.tls.mode == 'Verified' || (self.tls.mode == 'Required' && has(self.tls.caSecretRef))))",
    message:
      "auth needs tls.mode Verified (or Required with caSecretRef), so that nobody in between gets the password",
    fieldPath: "auth",
    check: ({ auth: login, tls: { mode, caSecretRef } }) =>
      login === undefined ||
      mode === "Verified" ||
      (mode === "Required" && caSecretRef !== undefined),
  },
  {
    cel: "!has(self.auth) || has(self.target.hosts) || has(self.target.inbound)",
    message: "auth needs target.hosts or target.inbound: a password is for a host that you named",
    fieldPath: "auth",
    check: ({ auth: login, target: { hosts, inbound } }) =>
      login === undefined || hosts !== undefined || inbound !== undefined,
  },
  {
    cel: "self.access != 'Anyone' || has(self.target.reject) || !has(self.suffixes) || !('.' in self.suffixes)",
    message:
      'access Anyone with the suffix "." would be an open relay: name the domains, or use Trusted',
    fieldPath: "access",
    check: ({ access, suffixes, target: { reject: refusal } }) =>
      access !== "Anyone" || refusal !== undefined || !(suffixes ?? []).includes("."),
  },
  {
    cel: "self.access != 'Anyone' || !has(self.target.mx)",
    message: "access Anyone with target.mx would be an open relay: use Trusted",
    fieldPath: "access",
    check: ({ access, target: { mx } }) => access !== "Anyone" || mx === undefined,
  },
  {
    cel: "!has(self.target.hosts) || !self.target.hosts.exists(h, h.host.startsWith('_')) || (!has(self.auth) && (!has(self.tls) || self.tls.mode != 'Verified')) || (has(self.tls) && has(self.tls.serverName))",
    message:
      "SRV records may name any host: auth and tls.mode Verified need tls.serverName, the name that its certificate must have",
    fieldPath: "tls",
    check: ({ auth: login, target: { hosts }, tls: { mode, serverName } }) =>
      serverName !== undefined ||
      (login === undefined && mode !== "Verified") ||
      !(hosts ?? []).some(({ host: name }) => isService(name)),
  },
  {
    cel: "self.protocol != 'LMTP' || has(self.target.hosts) || has(self.target.inbound)",
    message: "LMTP is for target.hosts and target.inbound",
    fieldPath: "protocol",
    check: ({ protocol, target: { hosts, inbound } }) =>
      protocol !== "LMTP" || hosts !== undefined || inbound !== undefined,
  },
];

const specTransitions = [
  {
    cel: "self.className == oldSelf.className",
    message: "className is immutable: delete the MailRoute and create it under the other class",
    fieldPath: "className",
  },
];

export const mailRouteSpec = withRules(plainSpec, specRules, specTransitions);

export const mailRouteSchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal("MailRoute"),
  metadata,
  spec: mailRouteSpec,
  status: z.unknown().optional(),
});

export type MailRoute = z.output<typeof mailRouteSchema>;
export type MailRouteSpec = MailRoute["spec"];
export type MailRouteLists = Lists;
