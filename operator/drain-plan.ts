/**
 * Which relays' claims are to be emptied, and by which Jobs: pure. A claim is left over where its ordinal is not among
 * the StatefulSet's replicas any more. The Job is made after the StatefulSet's own pods: the same image, configuration
 * and places, another command.
 */
import type { KubeObject } from "../kube/api.ts";

export type DrainFacts = {
  /** The installation: its StatefulSet is NAME-relay, its claims spool-NAME-relay-N. */
  readonly name: string;
  readonly statefulSet: KubeObject;
  readonly claims: readonly KubeObject[];
  readonly jobs: readonly KubeObject[];
  readonly pods: readonly KubeObject[];
};

export type DrainPlan = {
  readonly create: readonly KubeObject[];
  /** Names of Jobs that are done, or whose relay is wanted again. */
  readonly remove: readonly string[];
};

export const drainLabel = "mailroute.dev/drain";
/** Of the relays' pods, what a drain needs as well. */
const volumesKept: ReadonlySet<string> = new Set(["config", "handover", "tmp"]);
const placement = ["securityContext", "imagePullSecrets", "nodeSelector", "tolerations"] as const;

const sameContainer = ["image", "imagePullPolicy", "securityContext", "resources"] as const;

type Named = { readonly name: string } & Readonly<Record<string, unknown>>;
type PodSpec = Readonly<Record<string, unknown>> & {
  readonly containers?: readonly Named[];
  readonly volumes?: readonly Named[];
};

export function planDrains(facts: DrainFacts): DrainPlan {
  const { name, claims, jobs, pods } = facts;
  const isWanted = wantedBy(facts.statefulSet);
  const left = claims.flatMap((claim) => {
    const ordinal = ordinalIn(claim, `spool-${name}-relay-`);
    const isGoing = claim.metadata?.["deletionTimestamp"] !== undefined;
    return ordinal === undefined || isGoing || isWanted(ordinal) ? [] : [ordinal];
  });
  const known = new Set(jobs.map((job) => ordinalIn(job, `${name}-drain-`)));
  const running = new Set(pods.map((pod) => ordinalIn(pod, `${name}-relay-`)));
  const isNeeded = new Set(left);
  return {
    // With no relay there is nobody to take anything.
    create: isEmpty(facts.statefulSet)
      ? []
      : left
          .filter((ordinal) => !known.has(ordinal) && !running.has(ordinal))
          .map((ordinal) => jobOf(facts, ordinal)),
    remove: jobs.flatMap((job) => {
      const ordinal = ordinalIn(job, `${name}-drain-`);
      const isGoing = job.metadata?.["deletionTimestamp"] !== undefined;
      return ordinal === undefined || isGoing || isNeeded.has(ordinal) ? [] : [nameOf(job)];
    }),
  };
}

function wantedBy(statefulSet: KubeObject): (ordinal: number) => boolean {
  const { replicas, start } = countOf(statefulSet);
  return (ordinal) => ordinal >= start && ordinal < start + replicas;
}

function isEmpty(statefulSet: KubeObject): boolean {
  return countOf(statefulSet).replicas === 0;
}

function countOf({ spec }: KubeObject): { readonly replicas: number; readonly start: number } {
  const { replicas = 1, ordinals } = (spec ?? {}) as {
    readonly replicas?: number;
    readonly ordinals?: { readonly start?: number };
  };
  return { replicas, start: ordinals?.start ?? 0 };
}

function nameOf(object: KubeObject): string {
  return String(object.metadata?.["name"]);
}

/** Undefined where the name is not `prefix` and a number. */
function ordinalIn(object: KubeObject, prefix: string): number | undefined {
  const name = nameOf(object);
  const rest = name.startsWith(prefix) ? name.slice(prefix.length) : "";
  return /^\d{1,9}$/.test(rest) ? Number(rest) : undefined;
}

function jobOf({ name, statefulSet }: DrainFacts, ordinal: number): KubeObject {
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
    metadata: { name: `${name}-drain-${ordinal}`, labels: { [drainLabel]: name } },
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
