/**
 * The Job that empties a claim: pure. It is made after the StatefulSet's own pods: the same image, configuration and
 * places, another command; and it carries how many before it have ended in vain.
 */
import type { KubeObject } from "../kube/api.ts";

export const drainLabel = "mailroute.dev/drain";
const attemptsAnnotation = "mailroute.dev/drain-attempts";
/** Of the relays' pods, what a drain needs as well. */
const volumesKept: ReadonlySet<string> = new Set(["config", "handover", "tmp"]);
const placement = ["securityContext", "imagePullSecrets", "nodeSelector", "tolerations"] as const;

const sameContainer = ["image", "imagePullPolicy", "securityContext", "resources"] as const;

type Named = { readonly name: string } & Readonly<Record<string, unknown>>;
type PodSpec = Readonly<Record<string, unknown>> & {
  readonly containers?: readonly Named[];
  readonly volumes?: readonly Named[];
};

export type JobFacts = {
  /** The installation. */
  readonly name: string;
  readonly ordinal: number;
  /** How many Jobs for this claim have ended, and it is still there. */
  readonly attempts: number;
  readonly statefulSet: KubeObject;
};

export function jobOf({ name, ordinal, attempts, statefulSet }: JobFacts): KubeObject {
  const { template } = statefulSet["spec"] as {
    readonly template: { readonly metadata?: { labels?: object }; readonly spec: PodSpec };
  };
  const relay = `${name}-relay-${ordinal}`;
  const claimName = `spool-${relay}`;
  const kept = (list: readonly Named[] = []): readonly Named[] =>
    list.filter((each) => volumesKept.has(each.name));
  const [container] = template.spec.containers ?? [];
  const mounts = container?.["volumeMounts"] as readonly Named[] | undefined;
  const same = Object.fromEntries(sameContainer.map((each) => [each, container?.[each]]));
  const labels = { ...template.metadata?.labels, "app.kubernetes.io/component": "relay-drain" };
  const args = [
    "drain",
    "--config=/etc/mailroute/relay.yaml",
    `--spool-owner=${relay}`,
    `--delete-claim=${claimName}`,
  ];
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: `${name}-drain-${ordinal}`,
      labels: { [drainLabel]: name },
      annotations: { [attemptsAnnotation]: String(attempts) },
    },
    spec: {
      // As long as there is mail in it, somebody has to take it.
      backoffLimit: 1_000_000,
      template: {
        metadata: { labels },
        spec: {
          ...Object.fromEntries(placement.map((each) => [each, template.spec[each]])),
          serviceAccountName: `${name}-drain`,
          enableServiceLinks: false,
          restartPolicy: "OnFailure",
          containers: [
            {
              ...same,
              name: "drain",
              args,
              // What it said last is in its pod's status: the operator tells of it.
              terminationMessagePolicy: "FallbackToLogsOnError",
              volumeMounts: [
                ...kept(mounts),
                ...(mounts ?? []).filter((each) => each.name === "spool"),
              ],
            },
          ],
          volumes: [
            ...kept(template.spec.volumes),
            { name: "spool", persistentVolumeClaim: { claimName } },
          ],
        },
      },
    },
  };
}

/** Of a Job's or StatefulSet's pods. */
export function imageOf({ spec }: KubeObject): unknown {
  const { template } = (spec ?? {}) as { readonly template?: { readonly spec?: PodSpec } };
  return template?.spec?.containers?.[0]?.["image"];
}

/** How many Jobs for its claim have ended before it. */
export function attemptsOf({ metadata }: KubeObject): number {
  const annotations = (metadata?.["annotations"] ?? {}) as Readonly<Record<string, string>>;
  const count = Number(annotations[attemptsAnnotation] ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}

/** When it was done or has failed for good, in epoch milliseconds; undefined while it goes on. */
export function endOf(job: KubeObject): number | undefined {
  const { conditions = [] } = (job["status"] ?? {}) as {
    readonly conditions?: readonly { type: string; status: string; lastTransitionTime?: string }[];
  };
  const end = conditions.find(
    ({ type, status }) => status === "True" && (type === "Complete" || type === "Failed"),
  );
  if (end === undefined) return undefined;
  const endMs = Date.parse(end.lastTransitionTime ?? "");
  return Number.isNaN(endMs) ? 0 : endMs;
}
