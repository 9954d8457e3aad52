/**
 * The claim of a spool that has been emptied: marked as drained, and deleted. Adapter over the API server. Called
 * while the spool is still open, so that no relay can take mail into it between the last look and the deletion.
 */
import type { Api } from "../kube/api.ts";

const drainedAnnotation = "mailroute.dev/drained";

/** Throws where the API server refused or did not answer: the claim then stays. */
export async function deleteClaim(options: {
  readonly api: Api;
  readonly namespace: string;
  readonly name: string;
  readonly now: Date;
}): Promise<void> {
  const { api, namespace, name, now } = options;
  const path = `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${name}`;
  const { status, body } = await api.request({
    method: "PATCH",
    path,
    body: { metadata: { annotations: { [drainedAnnotation]: now.toISOString() } } },
    contentType: "application/merge-patch+json",
  });
  if (status === 404) return;
  if (status !== 200)
    throw new Error(`marking claim ${name} answered ${status}: ${body.message ?? ""}`);
  const preconditions = { uid: body.metadata?.["uid"] };
  const deleted = await api.request({
    method: "DELETE",
    path,
    body: { kind: "DeleteOptions", apiVersion: "v1", preconditions },
  });
  if (deleted.status >= 300 && deleted.status !== 404)
    throw new Error(
      `deleting claim ${name} answered ${deleted.status}: ${deleted.body.message ?? ""}`,
    );
}
