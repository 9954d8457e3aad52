/**
 * What the operator knows of the cluster: the objects of each watched kind, fed by reflectors. Pure state.
 * Nothing may be decided before every kind has been listed once: an unlisted kind looks like an empty one.
 */
import type { KubeObject } from "../kube/api.ts";
import type { Change } from "../kube/reflector.ts";

export const kinds = ["MailRoute", "MailGrant", "Namespace", "Secret"] as const;
export type Kind = (typeof kinds)[number];

export class Store {
  readonly #objects = new Map<Kind, Map<string, KubeObject>>();

  /** True where anything that matters has changed. */
  apply(kind: Kind, change: Change): boolean {
    if (change.type === "listed") {
      this.#objects.set(kind, new Map(change.objects.map((object) => [idOf(object), object])));
      return true;
    }
    const known = this.#objects.get(kind) ?? new Map<string, KubeObject>();
    this.#objects.set(kind, known);
    const id = idOf(change.object);
    const before = known.get(id);
    if (change.type === "deleted") return known.delete(id);
    known.set(id, change.object);
    // A status written by ourselves changes neither generation nor labels nor annotations.
    return before === undefined || markOf(before) !== markOf(change.object);
  }

  get isComplete(): boolean {
    return kinds.every((kind) => this.#objects.has(kind));
  }

  all(kind: Kind): ReadonlyMap<string, KubeObject> {
    return this.#objects.get(kind) ?? new Map();
  }
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
