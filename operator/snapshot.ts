/** From the store to what `compile` takes. Pure. Of Secrets it knows names, keys and versions, no contents. */
import type { KubeObject } from "../kube/api.ts";
import type { CompileInput } from "../routing/compile.ts";
import { hostsAnnotation, hostsIn, type SecretFacts } from "../routing/references.ts";
import type { RouteId } from "../routing/route.ts";
import type { Store } from "./store.ts";

/** The facts of those Secrets that are lent to anybody, all of one version of each; by "namespace/name". */
export type SecretContents = ReadonlyMap<string, SecretFacts>;

export type Snapshot = Pick<CompileInput, "routes" | "grants" | "references">;

export function snapshotOf(store: Store, contents: SecretContents): Snapshot {
  const routes = [...store.all("MailRoute")].map(([id, object]) => ({
    id: id as RouteId,
    resource: resourceOf(object),
  }));
  const grants = [...store.all("MailGrant")].map(([name, object]) => ({
    name,
    resource: resourceOf(object),
  }));
  const namespaces = new Map<string, ReadonlyMap<string, string>>();
  for (const [name, { metadata }] of store.all("Namespace")) {
    namespaces.set(
      name,
      new Map(Object.entries((metadata?.["labels"] ?? {}) as Record<string, string>)),
    );
  }
  const secrets = new Map<string, SecretFacts>();
  for (const [id, { metadata }] of store.all("Secret")) {
    const content = contents.get(id);
    // Not lent, or not read yet: it is there, and shown to nobody.
    const { version = "", keys = [], problem } = content ?? {};
    const watched = hostsOf(metadata);
    // What was read may be newer than what is watched, or older: it is shown to nobody whom either does not name.
    const hosts =
      content === undefined ? watched : watched.filter((host) => content.hosts.includes(host));
    secrets.set(id, { version, keys, hosts, ...(problem !== undefined && { problem }) });
  }
  return { routes, grants, references: { secrets, namespaces } };
}

const resources = new WeakMap<object, unknown>();

/** What compile looks at of an object: the same as long as its spec is, whatever becomes of its status. */
function resourceOf(object: KubeObject): unknown {
  const { apiVersion, kind, metadata = {}, spec } = object;
  if (typeof spec !== "object" || spec === null) return object;
  const known = resources.get(spec);
  if (known !== undefined) return known;
  const { name, namespace, generation, creationTimestamp } = metadata;
  const identity = { name, namespace, generation, creationTimestamp };
  const resource = { apiVersion, kind, metadata: identity, spec };
  resources.set(spec, resource);
  return resource;
}

/** Whom a Secret may be shown to, by its annotation. */
export function hostsOf(
  metadata: Readonly<Record<string, unknown>> | undefined,
): readonly string[] {
  const annotations = (metadata?.["annotations"] ?? {}) as Record<string, string>;
  return hostsIn(annotations[hostsAnnotation]);
}
