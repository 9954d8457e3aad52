/** An object without what nobody here reads, and what is more than half of it: for keeping ten thousand. Pure. */
import type { KubeObject } from "./api.ts";

const applied = "kubectl.kubernetes.io/last-applied-configuration";

/** Who owns which field, and the whole object once more in kubectl's words. */
export function lean(object: KubeObject): KubeObject {
  if (object.metadata === undefined) return object;
  const { managedFields: _, annotations, ...metadata } = object.metadata;
  const kept = leanAnnotations(annotations);
  return { ...object, metadata: { ...metadata, ...(kept !== undefined && { annotations: kept }) } };
}

/** No annotation that anybody here reads is longer. */
const annotationCharsMax = 16 * 1024;

function leanAnnotations(annotations: unknown): unknown {
  if (typeof annotations !== "object" || annotations === null) return annotations;
  const all = Object.entries(annotations);
  const isKept = ([name, value]: [string, unknown]): boolean =>
    name !== applied && String(value).length <= annotationCharsMax;
  return all.every(isKept) ? annotations : Object.fromEntries(all.filter(isKept));
}
