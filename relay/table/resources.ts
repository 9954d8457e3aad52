/**
 * From the resources of a directory to what `compile` takes: routes, grants, namespaces, Secrets. Pure but
 * for the versions of Secrets, which are drawn at random whenever a content is new.
 */
import { credentialOf, type Dictionary, dictionary, valuesOf } from "../../kube/secret-values.ts";
import type { CompileInput } from "../../routing/compile.ts";
import { salvageKeys } from "../../routing/field-reader.ts";
import { parseMailGrant } from "../../routing/grants.ts";
import { parseMailRoute } from "../../routing/parse-route.ts";
import { hostsAnnotation, hostsIn, type SecretFacts } from "../../routing/references.ts";
import type { RouteId } from "../../routing/route.ts";
import type { Credential } from "../delivery/options.ts";
import type { Resource } from "./library.ts";
import type { Check } from "./resource-check.ts";

export type VersionedCredential = {
  readonly secret: string;
  readonly version: string;
  readonly credential: Credential;
};

export const checkResource: Check = (kind, resource) => {
  if (kind === "MailRoute") return issuesOf(parseMailRoute(resource));
  if (kind === "MailGrant") return issuesOf(parseMailGrant(resource));
  return [];
};

function issuesOf(
  parsed: { ok: true } | { ok: false; issues: ReturnType<Check> },
): ReturnType<Check> {
  return parsed.ok ? [] : parsed.issues;
}

const keyLists = ["suffixes", "domains", "addresses"];
/** Fields of a MailRoute's spec that hold no keys. */
const otherFields = new Set([
  "className",
  "senders",
  "access",
  "target",
  "protocol",
  "heloName",
  "tls",
  "auth",
  "dkim",
  "delivery",
  "retry",
]);

/**
 * Of a resource that is wrong: whether all that it claims can be read nevertheless. A misspelt list cannot,
 * nor can what a grant would have given.
 */
export function hasReadableKeys(kind: string, resource: object): boolean {
  if (kind !== "MailRoute") return false;
  const spec = dictionary(Reflect.get(resource, "spec"));
  const isUnknownList = ([field, value]: [string, unknown]): boolean =>
    !otherFields.has(field) &&
    !keyLists.includes(field) &&
    (Array.isArray(value) || typeof value === "string");
  if (Object.entries(spec).some(isUnknownList)) return false;
  const { senders } = spec;
  return areReadable(spec) && (senders === undefined || areReadable(dictionary(senders)));
}

function areReadable(lists: Dictionary): boolean {
  let listed = 0;
  for (const name of keyLists) {
    const list = lists[name];
    if (list === undefined) continue;
    if (!Array.isArray(list)) return false;
    listed += new Set(list).size;
  }
  return listed > 0 && salvageKeys(lists).length === listed;
}

/** Draws a version for each content of a Secret, and remembers it for as long as the content stays. */
export class SecretVersions {
  readonly #known = new Map<string, { readonly content: string; readonly version: string }>();
  readonly #draw: () => string;

  constructor(draw: () => string) {
    this.#draw = draw;
  }

  of(secret: string, content: string): string {
    const known = this.#known.get(secret);
    if (known?.content === content) return known.version;
    const version = this.#draw();
    this.#known.set(secret, { content, version });
    return version;
  }
}

export type Gathered = Pick<CompileInput, "routes" | "grants" | "references"> & {
  readonly credentials: readonly VersionedCredential[];
};

export function gather(resources: readonly Resource[], versions: SecretVersions): Gathered {
  const routes: { id: RouteId; resource: unknown }[] = [];
  const grants: { name: string; resource: unknown }[] = [];
  const namespaces = new Map<string, ReadonlyMap<string, string>>();
  const secrets = new Map<string, SecretFacts>();
  const credentials: VersionedCredential[] = [];
  for (const { kind, id, resource } of resources) {
    if (kind === "MailRoute") routes.push({ id: id as RouteId, resource });
    else if (kind === "MailGrant") grants.push({ name: id, resource });
    else if (kind === "Namespace") namespaces.set(id, labelsOf(resource as Dictionary));
    else if (kind === "Secret") {
      const values = valuesOf(resource as Dictionary);
      const version = versions.of(id, JSON.stringify(Object.entries(values).sort()));
      secrets.set(id, {
        version,
        hosts: lentTo(resource as Dictionary),
        keys: Object.keys(values),
      });
      credentials.push({ secret: id, version, credential: credentialOf(values) });
    }
  }
  return { routes, grants, references: { secrets, namespaces }, credentials };
}

function labelsOf(namespace: Dictionary): ReadonlyMap<string, string> {
  const { labels } = dictionary(namespace["metadata"]);
  return new Map(Object.entries(dictionary(labels)).map(([key, value]) => [key, String(value)]));
}

function lentTo(secret: Dictionary): readonly string[] {
  const { annotations } = dictionary(secret["metadata"]);
  return hostsIn(dictionary(annotations)[hostsAnnotation]);
}
