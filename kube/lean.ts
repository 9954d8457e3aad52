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

function leanAnnotations(annotations: unknown): unknown {
  if (typeof annotations !== "object" || annotations === null || !(applied in annotations)) {
    return annotations;
  }
  const { [applied]: _, ...kept } = annotations;
  return kept;
}
