/**
 * From raw MailGrants to values that delegation can ask: whom each grant names, what it covers, what it
 * allows. A grant that does not parse still covers its suffixes, so that its loss never widens what
 * somebody else may claim; whoever holds a key under it keeps the key, and nobody gets a new one.
 */
import { FieldReader, type Issue, parseSuffixKey, schemaIssues } from "./field-reader.ts";
import { keyParts, type SenderKey } from "./key.ts";
import { grantNamespaces, type MailGrant, mailGrantSchema } from "./mail-grant.ts";
import { parseBlock } from "./network.ts";
import { senders } from "./schema.ts";

export type RawGrant = { readonly name: string; readonly resource: unknown };

/** Labels by namespace name. */
export type NamespaceLabels = ReadonlyMap<string, ReadonlyMap<string, string>>;

export type HostRule = { readonly host: string; readonly ports: readonly number[] | undefined };

export type Grant = {
  readonly name: string;
  readonly className: string;
  /** Canonical domains, or ".". */
  readonly suffixes: readonly string[];
  readonly spec: MailGrant["spec"];
  /** Undefined: every host but the denied ones. */
  readonly hosts: readonly HostRule[] | undefined;
  readonly senderKeys: readonly SenderKey[];
  readonly dkim: readonly GrantedKey[];
};

/** A DKIM key for a canonical domain. */
export type GrantedKey = {
  readonly domain: string;
  readonly selector: string;
  /** Its name in the installation's namespace. */
  readonly secret: string;
};

export type ParsedMailGrant =
  | { readonly ok: true; readonly grant: Grant }
  | {
      readonly ok: false;
      readonly issues: readonly Issue[];
      /** What it would have covered, as far as that can be read. */
      readonly suffixes: readonly string[];
      readonly className: string | undefined;
      readonly rights: UnreadableRights;
    };

/** What can still be read of a grant that does not parse: whom it names, and as whom they may send. */
export type UnreadableRights = {
  /** Undefined: it may be anybody. */
  readonly namespaces: MailGrant["spec"]["namespaces"] | undefined;
  /** Undefined: it may be anything. */
  readonly senderKeys: readonly SenderKey[] | undefined;
};

/** Total: anything at all may come in. */
export function parseMailGrant(raw: unknown): ParsedMailGrant {
  const result = mailGrantSchema.safeParse(raw);
  if (!result.success) return failed(raw, schemaIssues(result.error));
  const { metadata, spec } = result.data;
  const read = new FieldReader();
  const suffixes = read.keys({ suffixes: spec.suffixes }, "spec").map((key) => keyParts(key).name);
  const senderKeys = spec.senders ? read.keys(spec.senders, "spec.senders") : [];
  const hosts = spec.targets?.hosts.map(
    ({ host, ports }, index): HostRule => ({
      host: read.hostPattern(host, `spec.targets.hosts[${index}].host`),
      ports,
    }),
  );
  const dkim = (spec.dkim ?? []).map(({ domain, selector, secretRef }, index): GrantedKey => {
    const path = `spec.dkim[${index}].domain`;
    const canonical = read.domain(domain, path) ?? "";
    if (canonical !== "" && !isUnder(canonical, suffixes)) {
      read.refuse(
        path,
        `${canonical} is under none of spec.suffixes: a grant signs for its own domains`,
      );
    }
    return { domain: canonical, selector, secret: secretRef.name };
  });
  if (read.issues.length > 0) return failed(raw, read.issues);
  const { name } = metadata;
  return {
    ok: true,
    grant: { name, className: spec.className, suffixes, spec, hosts, senderKeys, dkim },
  };
}

function isUnder(domain: string, suffixes: readonly string[]): boolean {
  return suffixes.some(
    (suffix) => suffix === "." || domain === suffix || domain.endsWith(`.${suffix}`),
  );
}

function failed(raw: unknown, issues: readonly Issue[]): ParsedMailGrant {
  const spec = property(raw, "spec");
  const suffixes = property(spec, "suffixes");
  const className = property(spec, "className") ?? "default";
  const keys = Array.isArray(suffixes) ? suffixes.map(suffixName) : [];
  return {
    ok: false,
    issues,
    suffixes: keys.filter((name) => name !== undefined),
    className: typeof className === "string" ? className : undefined,
    rights: {
      namespaces: grantNamespaces.safeParse(property(spec, "namespaces")).data,
      senderKeys: readableSenders(property(spec, "senders")),
    },
  };
}

/** None where it names none: it gives nobody anything. */
function readableSenders(raw: unknown): readonly SenderKey[] | undefined {
  if (raw === undefined) return [];
  const result = senders.safeParse(raw);
  if (!result.success) return undefined;
  const read = new FieldReader();
  const keys = read.keys(result.data, "spec.senders");
  return read.issues.length === 0 ? keys : undefined;
}

function suffixName(text: unknown): string | undefined {
  const key = typeof text === "string" ? parseSuffixKey(text) : undefined;
  return key && keyParts(key).name;
}

export function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

export function isNamed(
  { names, selector }: MailGrant["spec"]["namespaces"],
  namespace: string,
  labels: NamespaceLabels,
): boolean {
  if (names?.includes(namespace) === true) return true;
  const own = labels.get(namespace);
  // A namespace that is not known has no labels that could be trusted, not even their absence.
  if (selector === undefined || own === undefined) return false;
  const matchLabels = Object.entries(selector.matchLabels ?? {});
  if (!matchLabels.every(([key, value]) => own.get(key) === value)) return false;
  return (selector.matchExpressions ?? []).every((term) => holds(term, own.get(term.key)));
}

type Term = {
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values?: readonly string[] | undefined;
};

function holds({ operator, values = [] }: Term, value: string | undefined): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default:
      return assertNever(operator);
  }
}

function assertNever(value: never): never {
  throw new TypeError(`not a selector operator: ${String(value)}`);
}

/** The CIDR blocks and addresses that a grant names itself: only these reach into denied networks. */
export function reachOf(grant: Grant): readonly string[] {
  const hosts = grant.hosts?.map(({ host }) => host) ?? [];
  return hosts.filter((host) => parseBlock(host) !== undefined);
}
