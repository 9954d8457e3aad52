/**
 * Secrets are lent, not taken: a route may show a Secret only to the hosts that the Secret's own
 * annotation names. So nobody who may write MailRoutes but not read Secrets sends somebody's password
 * to a host of his own. Contents never come here: only which keys exist, and a version.
 */
import { parseDomain, parseIp, parseService } from "./domain.ts";
import type { Issue } from "./field-reader.ts";
import { hostPort, type ParsedRoute, type SecretNeed } from "./parse-route.ts";
import type { CredentialRef, Route, Tls } from "./route.ts";
import { tokenHostOf } from "./token-host.ts";

export const hostsAnnotation = "mailroute.dev/hosts";

export type SecretFacts = {
  /** Changes with the content; a relay that holds another version defers. */
  readonly version: string;
  /** From the annotation mailroute.dev/hosts: "host:port", or "inbound" or "mx" for those targets. */
  readonly hosts: readonly string[];
  readonly keys: readonly string[];
  /** Why it cannot be used although it is lent, as "holds more than 64 KiB: ...". */
  readonly problem?: string;
};

/** Nobody lends to more hosts; a longer text lends to nobody. */
const annotationCharsMax = 16 * 1024;

/** What the annotation's text names, as written: parted by commas or spaces. */
export function hostsIn(annotation: unknown): readonly string[] {
  if (typeof annotation !== "string" || annotation.length > annotationCharsMax) return [];
  return annotation.split(/[\s,]+/).filter((host) => host !== "");
}

/** By "namespace/name". */
export type Secrets = ReadonlyMap<string, SecretFacts>;

export type ResolvedSecrets =
  | { readonly ok: true; readonly definition: Route }
  | {
      readonly ok: false;
      readonly reason: "SecretNotFound" | "SecretIncomplete" | "SecretNotLent";
      readonly issue: Issue;
    };

export function withSecrets(route: ParsedRoute, secrets: Secrets): ResolvedSecrets {
  const found = new Map<SecretNeed["field"], CredentialRef>();
  for (const need of route.secrets) {
    const secret = `${route.namespace}/${need.name}`;
    const facts = secrets.get(secret);
    const refusal = refusalOf(route.namespace, need, facts);
    if (facts === undefined || refusal !== undefined) {
      return refusal ?? missing(secret, need);
    }
    found.set(need.field, { secret, version: facts.version });
  }
  return { ok: true, definition: withCredentials(route, found) };
}

function missing(secret: string, { field, keys }: SecretNeed): ResolvedSecrets {
  const message = `Secret ${secret} does not exist: create it with ${keys.join(" and ")}`;
  return { ok: false, reason: "SecretNotFound", issue: { path: `spec.${field}.name`, message } };
}

function refusalOf(
  namespace: string,
  need: SecretNeed,
  facts: SecretFacts | undefined,
): ResolvedSecrets | undefined {
  if (facts === undefined) return undefined;
  const path = `spec.${need.field}.name`;
  const lent = new Set(facts.hosts.map(canonicalHostPort));
  const absent = need.hosts.filter((host) => !lent.has(host));
  if (absent.length > 0) {
    const command = annotateCommand(namespace, need, lent);
    const message = `Secret ${namespace}/${need.name} is not lent to ${absent.join(", ")}: ${command}`;
    return { ok: false, reason: "SecretNotLent", issue: { path, message } };
  }
  // Second, because nobody looks into a Secret that is not lent.
  if (facts.problem !== undefined) {
    const message = `Secret ${namespace}/${need.name} ${facts.problem}`;
    return { ok: false, reason: "SecretIncomplete", issue: { path, message } };
  }
  const lacking = need.keys.filter((key) => !facts.keys.includes(key));
  if (lacking.length === 0) return undefined;
  const message = `Secret ${namespace}/${need.name} has no ${lacking.join(" and no ")}: add it`;
  return { ok: false, reason: "SecretIncomplete", issue: { path, message } };
}

/** Names what the Secret is lent to already as well, so that it takes nothing from other routes. */
function annotateCommand(
  namespace: string,
  { name, hosts }: SecretNeed,
  lent: ReadonlySet<string | undefined>,
): string {
  const known = [...lent].filter((host) => host !== undefined);
  const all = [...new Set([...known, ...hosts])].sort().join(",");
  return `kubectl annotate secret ${name} --namespace ${namespace} --overwrite '${hostsAnnotation}=${all}'`;
}

const hostAndPort = /^(?:\[([^\]]+)\]|([^:]+)):([1-9][0-9]{0,4})$/;

function canonicalHostPort(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed === "inbound" || trimmed === "mx") return trimmed;
  if (trimmed.startsWith("_")) return parseService(trimmed);
  const parts = hostAndPort.exec(trimmed);
  if (parts === null) return undefined;
  const [, bracketed, plain = "", port] = parts;
  const host =
    bracketed === undefined
      ? (parseIp(plain) ?? parseDomain(plain, { utf8: true }))
      : parseIp(bracketed);
  return host === undefined ? undefined : hostPort({ host, port: Number(port) });
}

function withCredentials(
  { definition, auth }: ParsedRoute,
  found: ReadonlyMap<SecretNeed["field"], CredentialRef>,
): Route {
  const ca = found.get("tls.caSecretRef");
  const clientCertificate = found.get("tls.clientCertificateRef");
  const credential = found.get("auth.secretRef") ?? found.get("auth.oauth2.secretRef");
  const tls: Tls = {
    ...definition.tls,
    ...(ca !== undefined && { ca }),
    ...(clientCertificate !== undefined && { clientCertificate }),
  };
  if (auth === undefined || credential === undefined) return { ...definition, tls };
  return { ...definition, tls, auth: { ...auth, credential } };
}

/** For a state from before: whether its Secrets still exist, unchanged, and are still lent to its hosts. */
export function credentialRefusal(route: Route, secrets: Secrets): string | undefined {
  const { target, tls, auth } = route;
  const hosts = target.kind === "hosts" ? target.hosts.map(hostPort) : [target.kind];
  const tokenHost = auth?.kind === "oauth2" ? tokenHostOf(auth.tokenURL) : undefined;
  const withTokenHost = tokenHost === undefined ? hosts : [...hosts, hostPort(tokenHost)];
  for (const ref of [tls.ca, tls.clientCertificate, auth?.credential]) {
    if (ref === undefined) continue;
    const facts = secrets.get(ref.secret);
    const lent = new Set(facts?.hosts.map(canonicalHostPort));
    const shownTo = ref === auth?.credential ? withTokenHost : hosts;
    if (facts?.version !== ref.version || !shownTo.every((host) => lent.has(host))) {
      return `Secret ${ref.secret} is gone, changed, or no longer lent to ${shownTo.join(", ")}`;
    }
  }
  return undefined;
}
