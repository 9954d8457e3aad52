/**
 * From a raw MailRoute, as the API server or a YAML file gives it, to keys and a route definition. Here
 * is what the schema's patterns cannot say: UTS 46, host addresses, durations against each other. Every
 * issue names the field and what to write instead. No delegation, no Secrets: those come later.
 */
import { isService } from "./domain.ts";
import { FieldReader, type Issue, issuesMax, schemaIssues } from "./field-reader.ts";
import type { RecipientKey, SenderKey } from "./key.ts";
import { type MailRouteSpec, mailRouteSchema } from "./mail-route.ts";
import type { Auth, Host, Route, RouteId, Target } from "./route.ts";

/** A Secret that the route names: which keys it must have and to whom it would be shown. */
export type SecretNeed = {
  readonly field:
    | "tls.caSecretRef"
    | "tls.clientCertificateRef"
    | "auth.secretRef"
    | "auth.oauth2.secretRef";
  readonly name: string;
  readonly keys: readonly string[];
  /** "host:port" as in the annotation mailroute.dev/hosts; "inbound" and "mx" for those targets. */
  readonly hosts: readonly string[];
};

/** How to log in, without the credential. */
export type PlainAuth =
  | Omit<Extract<Auth, { kind: "basic" }>, "credential">
  | Omit<Extract<Auth, { kind: "oauth2" }>, "credential">;

/** Everything of the route but what its Secrets and its grant have to say. */
export type ParsedRoute = {
  readonly id: RouteId;
  readonly namespace: string;
  readonly className: string;
  /** RFC 3339 in UTC, so that text order is time order; empty where it is unknown. */
  readonly createdAt: string;
  readonly keys: readonly RecipientKey[];
  /** Undefined: the entry without senders. */
  readonly senderKeys: readonly SenderKey[] | undefined;
  readonly definition: Route;
  readonly secrets: readonly SecretNeed[];
  /** `definition.auth` once its Secret is known to be good. */
  readonly auth: PlainAuth | undefined;
  /** Hosts that its grant must allow, the one of `tokenURL` too. */
  readonly hosts: readonly {
    readonly field: string;
    readonly host: string;
    readonly port: number;
  }[];
  readonly asksAnyone: boolean;
};

export type ParsedMailRoute =
  | { readonly ok: true; readonly route: ParsedRoute }
  | { readonly ok: false; readonly issues: readonly Issue[] };

/** Total: anything at all may come in. */
export function parseMailRoute(raw: unknown): ParsedMailRoute {
  const result = mailRouteSchema.safeParse(raw);
  if (!result.success) return { ok: false, issues: schemaIssues(result.error) };
  const { metadata, spec } = result.data;
  if (metadata.namespace === undefined) {
    return { ok: false, issues: [{ path: "metadata.namespace", message: "is missing: name one" }] };
  }
  const id = routeIdOf(metadata.namespace, metadata.name);
  const read = new FieldReader();
  const keys = read.keys(spec, "spec");
  const senderKeys = spec.senders && read.keys(spec.senders, "spec.senders");
  const definition = routeDefinition(read, { id, generation: metadata.generation ?? 0, spec });
  const tokenHost = read.tokenHost(spec.auth?.oauth2?.tokenURL);
  if (read.issues.length > 0) return { ok: false, issues: read.issues.slice(0, issuesMax) };
  const { target } = definition;
  const hosts = target.kind === "hosts" ? target.hosts : [];
  return {
    ok: true,
    route: {
      id,
      namespace: metadata.namespace,
      className: spec.className,
      createdAt: metadata.creationTimestamp ?? "",
      keys,
      senderKeys,
      definition,
      secrets: secretNeeds(spec, target, tokenHost),
      hosts: [
        ...hosts.map(({ host, port }, index) => ({
          field: `spec.target.hosts[${index}]`,
          host,
          port,
        })),
        ...(tokenHost === undefined ? [] : [{ field: "spec.auth.oauth2.tokenURL", ...tokenHost }]),
      ],
      auth: plainAuth(spec.auth),
      asksAnyone: spec.access === "Anyone" && target.kind !== "reject",
    },
  };
}

export function routeIdOf(namespace: string, name: string): RouteId {
  return `${namespace}/${name}` as RouteId;
}

type DefinitionInput = {
  readonly id: RouteId;
  readonly generation: number;
  readonly spec: MailRouteSpec;
};

function routeDefinition(read: FieldReader, { id, generation, spec }: DefinitionInput): Route {
  const target = targetOf(read, spec);
  const heloName = read.domain(spec.heloName, "spec.heloName");
  const serverName = read.domain(spec.tls.serverName, "spec.tls.serverName");
  const { maxConnections, maxMessagesPerConnection, maxMessagesPerSecond } = spec.delivery;
  return {
    id,
    generation,
    // A refusal is everyone's answer; nothing is relayed by it.
    access: target.kind === "reject" ? "Anyone" : spec.access,
    target,
    protocol: spec.protocol,
    ...(heloName !== undefined && { heloName }),
    tls: { mode: spec.tls.mode, ...(serverName !== undefined && { serverName }) },
    ...(spec.dkim === "Always" && { sign: true }),
    delivery: {
      ...(maxConnections !== undefined && { maxConnections }),
      ...(maxMessagesPerConnection !== undefined && { maxMessagesPerConnection }),
      ...(maxMessagesPerSecond !== undefined && { maxMessagesPerSecond }),
    },
    retry: read.retry(spec.retry),
  };
}

function targetOf(read: FieldReader, { target, protocol }: MailRouteSpec): Target {
  if (target.hosts !== undefined) {
    const defaultPort = protocol === "LMTP" ? 24 : 25;
    const hosts = target.hosts.map(
      ({ host, port, priority, weight }, index): Host => ({
        host: read.nextHop(host, `spec.target.hosts[${index}].host`),
        port: isService(host) ? 0 : (port ?? defaultPort),
        priority,
        weight,
      }),
    );
    return { kind: "hosts", hosts };
  }
  if (target.inbound !== undefined) return { kind: "inbound" };
  if (target.reject !== undefined) return { kind: "reject", ...target.reject };
  if (target.mx === undefined) return { kind: "discard" };
  const domain = read.domain(target.mx.domain, "spec.target.mx.domain");
  return { kind: "mx", ...(domain !== undefined && { domain }) };
}

/** "mx1.corp.example:25", "[2001:db8::1]:25", and "_smtp._tcp.corp.example", whose port is in DNS. */
export function hostPort({ host, port }: { readonly host: string; readonly port: number }): string {
  if (isService(host)) return host;
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function secretNeeds(
  { tls, auth }: MailRouteSpec,
  target: Target,
  tokenHost: { host: string; port: number } | undefined,
): readonly SecretNeed[] {
  const hosts = target.kind === "hosts" ? target.hosts.map(hostPort) : [target.kind];
  const shownTo = [...new Set(hosts)].sort();
  const needs: SecretNeed[] = [];
  const need = (field: SecretNeed["field"], name: string | undefined, keys: readonly string[]) => {
    if (name !== undefined) needs.push({ field, name, keys, hosts: shownTo });
  };
  need("tls.caSecretRef", tls.caSecretRef?.name, ["ca.crt"]);
  need("tls.clientCertificateRef", tls.clientCertificateRef?.name, ["tls.crt", "tls.key"]);
  need("auth.secretRef", auth?.secretRef?.name, ["username", "password"]);
  if (auth?.oauth2 !== undefined && tokenHost !== undefined) {
    needs.push({
      field: "auth.oauth2.secretRef",
      name: auth.oauth2.secretRef.name,
      keys: ["username", "client-secret"],
      hosts: [...new Set([...shownTo, hostPort(tokenHost)])].sort(),
    });
  }
  return needs;
}

function plainAuth(auth: MailRouteSpec["auth"]): PlainAuth | undefined {
  if (auth === undefined) return undefined;
  if (auth.oauth2 === undefined) return { kind: "basic" };
  const { tokenURL, clientID, scope } = auth.oauth2;
  return { kind: "oauth2", tokenURL, clientID, ...(scope !== undefined && { scope }) };
}
