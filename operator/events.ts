/** Kubernetes Events on MailRoutes, for `kubectl describe`: on transitions only. Adapter; best effort. */
import { randomBytes } from "node:crypto";
import type { Api, KubeObject } from "../kube/api.ts";
import { microTime } from "./lease.ts";

export type Note = {
  readonly object: KubeObject;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
};

const messageCharsMax = 1000;

/** events.k8s.io/v1; whatever the API server says to it, nothing else depends on it. */
export async function postEvent(api: Api, identity: string, note: Note): Promise<void> {
  const { namespace, name, uid } = note.object.metadata ?? {};
  const regarding = {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailRoute",
    namespace,
    name,
    uid,
  };
  const body = {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: {
      name: `${String(name).slice(0, 200)}.${randomBytes(8).toString("hex")}`,
      namespace,
    },
    eventTime: microTime(new Date()),
    reportingController: "mailroute.dev/operator",
    reportingInstance: identity,
    action: "Reconcile",
    type: note.type,
    reason: note.reason,
    note: note.message.slice(0, messageCharsMax),
    regarding,
  };
  await api
    .request({
      method: "POST",
      path: `/apis/events.k8s.io/v1/namespaces/${String(namespace)}/events`,
      body,
    })
    .catch(() => undefined);
}
