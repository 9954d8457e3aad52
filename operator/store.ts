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
  #revision = 0;

  constructor(scopes: readonly Scope[]) {
    this.#due = new Set(scopes.map(nameOf));
  }

  /** True where anything that matters has changed. */
  apply(scope: Scope, change: Change): boolean {
    const known = this.#objects.get(scope.kind) ?? new Map<string, KubeObject>();
    this.#objects.set(scope.kind, known);
    if (change.type === "listed") {
      const isFirst = this.#due.delete(nameOf(scope));
      return this.#replace(scope, known, change.objects) || isFirst;
    }
    if (change.type === "deleted") {
      this.#revision += 1;
      return known.delete(idOf(change.object));
    }
    return this.#set(known, change.object);
  }

  #replace(
    { namespace }: Scope,
    known: Map<string, KubeObject>,
    objects: readonly KubeObject[],
  ): boolean {
    const listed = new Set(objects.map(idOf));
    let isChanged = false;
    for (const [id, { metadata }] of known) {
      if (namespace !== undefined && metadata?.["namespace"] !== namespace) continue;
      if (!listed.has(id)) isChanged = known.delete(id);
    }
    for (const object of objects) isChanged = this.#set(known, object) || isChanged;
    this.#revision += 1;
    return isChanged;
  }

  #set(known: Map<string, KubeObject>, object: KubeObject): boolean {
    const id = idOf(object);
    const before = known.get(id);
    if (before !== undefined && isSameVersion(before, object)) return false;
    this.#revision += 1;
    known.set(id, withKnownSpec(object, before));
    // A status written by ourselves changes neither generation nor labels nor annotations.
    return before === undefined || markOf(before) !== markOf(object);
  }

  /** Another number after every change, also those that matter to no table. */
  get revision(): number {
    return this.#revision;
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

function isSameVersion(a: KubeObject, b: KubeObject): boolean {
  const version = a.metadata?.resourceVersion;
  return version !== undefined && version === b.metadata?.resourceVersion;
}

/** While it is the same generation the spec is the same object, so that nobody parses it again for a status. */
function withKnownSpec(object: KubeObject, before: KubeObject | undefined): KubeObject {
  const { generation, uid } = object.metadata ?? {};
  const known = before?.metadata ?? {};
  const isSame = generation !== undefined && generation === known["generation"];
  return isSame && uid === known["uid"] ? { ...object, spec: before?.["spec"] } : object;
}

/** Everything of an object that compile looks at; Secrets and Namespaces have no generation. */
function markOf(object: KubeObject): string {
  const { generation, labels, annotations, resourceVersion, uid, deletionTimestamp } =
    object.metadata ?? {};
  const revision = generation ?? resourceVersion;
  return JSON.stringify([revision, labels, annotations, uid, deletionTimestamp]);
}
