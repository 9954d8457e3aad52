/**
 * What the operator knows of the cluster: the objects of each watched kind, fed by reflectors. Pure state.
 * Nothing may be decided before every watch has listed once: what is not listed looks like nothing at all.
 */
import type { KubeObject } from "../kube/api.ts";
import type { Change } from "../kube/reflector.ts";

export const kinds = ["MailRoute", "MailGrant", "Namespace", "Secret"] as const;
export type Kind = (typeof kinds)[number];

/** A part of a kind's objects that one watch brings: those of one namespace, or all. */
export type Scope = { readonly kind: Kind; readonly namespace?: string };

export class Store {
  readonly #objects = new Map<Kind, Map<string, KubeObject>>();
  readonly #due: Set<string>;

  constructor(scopes: readonly Scope[]) {
    this.#due = new Set(scopes.map(nameOf));
  }

  /** True where anything that matters has changed. */
  apply(scope: Scope, change: Change): boolean {
    const known = this.#objects.get(scope.kind) ?? new Map<string, KubeObject>();
    this.#objects.set(scope.kind, known);
    if (change.type === "listed") {
      this.#due.delete(nameOf(scope));
      for (const [id, { metadata }] of known)
        if (scope.namespace === undefined || metadata?.["namespace"] === scope.namespace)
          known.delete(id);
      for (const object of change.objects) known.set(idOf(object), object);
      return true;
    }
    const id = idOf(change.object);
    const before = known.get(id);
    if (change.type === "deleted") return known.delete(id);
    known.set(id, change.object);
    // A status written by ourselves changes neither generation nor labels nor annotations.
    return before === undefined || markOf(before) !== markOf(change.object);
  }

  get isComplete(): boolean {
    return this.#due.size === 0;
  }

  all(kind: Kind): ReadonlyMap<string, KubeObject> {
    return this.#objects.get(kind) ?? new Map();
  }
}

function nameOf({ kind, namespace = "" }: Scope): string {
  return `${kind} ${namespace}`;
}

/** "namespace/name", or "name" of what has no namespace. */
export function idOf({ metadata }: KubeObject): string {
  const { namespace, name } = metadata ?? {};
  return namespace === undefined ? String(name) : `${String(namespace)}/${String(name)}`;
}

/** Everything of an object that compile looks at; Secrets and Namespaces have no generation. */
function markOf(object: KubeObject): string {
  const { generation, labels, annotations, resourceVersion, uid, deletionTimestamp } =
    object.metadata ?? {};
  const revision = generation ?? resourceVersion;
  return JSON.stringify([revision, labels, annotations, uid, deletionTimestamp]);
}
