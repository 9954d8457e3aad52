/** Kubernetes Events on MailRoutes and MailGrants, for `kubectl describe`: on transitions only. Adapter; best effort. */
import { randomBytes } from "node:crypto";
import type { Api, KubeObject } from "../kube/api.ts";
import type { Note } from "./conditions.ts";
import { microTime } from "./lease.ts";

/** The namespace of events about what has none. */
const clusterNamespace = "default";
const messageCharsMax = 1000;

export type Posted = {
  /** Who says it: the operator's pod. */
  readonly identity: string;
  readonly object: KubeObject;
  readonly note: Note;
};

/** events.k8s.io/v1; whatever the API server says to it, nothing else depends on it. */
export async function postEvent(api: Api, { identity, object, note }: Posted): Promise<void> {
  const { namespace, name, uid } = object.metadata ?? {};
  const { apiVersion, kind } = object;
  const regarding = { apiVersion, kind, namespace, name, uid };
  const home = String(namespace ?? clusterNamespace);
  const body = {
    apiVersion: "events.k8s.io/v1",
    kind: "Event",
    metadata: {
      name: `${String(name).slice(0, 200)}.${randomBytes(8).toString("hex")}`,
      namespace: home,
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
      path: `/apis/events.k8s.io/v1/namespaces/${home}/events`,
      body,
    })
    .catch(() => undefined);
}
