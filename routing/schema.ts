/**
 * The parts that MailRoute and MailGrant share: names, durations, metadata, lists. Every list and
 * string has a bound, and every pattern means the same in RE2 (the API server) and in JavaScript.
 * What a pattern cannot say (UTS 46, "last label not all digits") is said by the compile verdict.
 */
import * as z from "zod";
import { limits } from "./limits.ts";

export const apiVersion = "mailroute.dev/v1alpha1";

const letter = "\\p{L}\\p{N}";
const inner = "\\p{L}\\p{M}\\p{N}·・-";
/** Without the length of a label: counted repeats of such classes are slow in RE2. */
const label = `[${letter}](?:[${inner}]*[\\p{L}\\p{M}\\p{N}])?`;
const name = `(?:${label}\\.)*${label}\\.?`;
const literal = "\\[[0-9A-Fa-fIPVipv:.]{3,60}\\]";
const local = `(?:"[^\\p{Cc}\\p{Cf}]{1,62}"|[^\\p{Cc}\\p{Cf}\\p{Z}"@]{1,64})`;
const ip = "[0-9A-Fa-f:.]{2,45}";
const service = `_[A-Za-z0-9-]{1,15}\\._[Tt][Cc][Pp]\\.${name}`;

/** A regular expression that zod, the CRD and editors all read. */
function pattern(source: string): RegExp {
  return new RegExp(`^(?:${source})$`, "u");
}

function text(source: string, max: number, mend: string) {
  return z.string().min(1).max(max).regex(pattern(source), mend);
}

export const domainName = text(name, 254, "must be a domain name such as corp.example");
export const domainOrLiteral = text(
  `${name}|${literal}`,
  254,
  "must be a domain name such as hq.corp.example, or an address literal such as [192.0.2.1]",
);
export const suffix = text(
  `\\.|${name}`,
  254,
  'must be a domain name such as corp.example, or "." for every domain',
);
export const mailbox = text(
  `${local}@${name}`,
  320,
  "must be one mailbox such as ceo@corp.example",
);
export const hostName = text(
  `${name}|${ip}|${service}`,
  254,
  "must be a host name, an IP address without brackets or a name of SRV records such as _smtp._tcp.corp.example",
);
/** For grants: a name, "*." and a name, a name of SRV records, an address or a CIDR block. */
export const hostPattern = text(
  `(?:\\*\\.)?${name}|\\*|${service}|${ip}(?:/[0-9]{1,3})?`,
  256,
  'must be a host name, "*.corp.example", "*", an IP address or a CIDR block',
);

const kubeLabel = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
export const namespaceName = text(
  kubeLabel,
  63,
  "must be a Kubernetes namespace name: lower-case letters, digits and hyphens, at most 63",
);
export const objectName = text(
  `${kubeLabel}(?:\\.${kubeLabel})*`,
  253,
  "must be a Kubernetes name: lower-case letters, digits, hyphens and dots, at most 253",
);
export const className = text(kubeLabel, 63, "must be the class of an installation, e.g. default");

const labelPart = "[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?";
export const labelKey = text(
  `(?:${kubeLabel}(?:\\.${kubeLabel})*/)?${labelPart}`,
  317,
  "must be a Kubernetes label key",
);
export const labelValue = z
  .string()
  .max(63)
  .regex(pattern(`(?:${labelPart})?`), "must be a Kubernetes label value");

export const duration = text(
  "[1-9][0-9]{0,6}[smhd]",
  8,
  'must be a whole number and a unit: "90s", "5m", "1h" or "5d"',
);

const unitMs = new Map([
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** Only for text that `duration` accepted. */
export function durationMs(value: string): number {
  return Number(value.slice(0, -1)) * (unitMs.get(value.slice(-1)) ?? 0);
}

export const port = z.int().min(1).max(65_535);

/** Visible characters of one line; control characters would end a reply or a header early. */
export const oneLine = (max: number) =>
  text(
    "[^\\p{Cc}\\p{Cf}\\p{Zl}\\p{Zp}]+",
    max,
    "must be one line of text without control characters",
  );

/** Printable ASCII, as RFC 5321 4.2 wants reply texts. */
export const replyText = text(
  "[ -~]{1,}",
  limits.replyTextCharsMax,
  "must be one line of printable ASCII",
);

/** A list in which order means nothing and an item stands once; the API server checks the latter. */
export const setOf = <T extends z.ZodType>(item: T, max: number) =>
  z.array(item).max(max).meta({ "x-kubernetes-list-type": "atomic" });

/** The senders of a MailRoute entry and of a MailGrant. */
export const senders = z.strictObject({
  suffixes: setOf(suffix, limits.suffixesMax)
    .optional()
    .describe('The domain and every subdomain of it; "." is everyone but the null sender.'),
  domains: setOf(domainOrLiteral, limits.domainsMax).optional().describe("Exactly this domain."),
  addresses: setOf(mailbox, limits.addressesMax).optional().describe("Exactly this mailbox."),
});

export const secretRef = z.strictObject({
  name: objectName.describe("A Secret in the namespace of this MailRoute."),
});

/** Of a DKIM key's name in DNS, before "._domainkey.". */
export const dkimSelector = text(
  `${kubeLabel}(?:\\.${kubeLabel})*`,
  100,
  "must be a DKIM selector: lower-case letters, digits and hyphens, in labels parted by dots",
);

/** What we read of metadata; the rest belongs to Kubernetes. */
export const metadata = z.looseObject({
  name: objectName,
  namespace: namespaceName.optional(),
  generation: z.int().min(0).optional(),
  creationTimestamp: z.string().max(64).nullish(),
});
