/**
 * What keeps a drain's Job from getting done, in words for a person: pure, from the Job and its pods. A failure or two
 * is nothing (a relay restarts, a network stumbles); what goes on is told.
 */
import type { KubeObject } from "../kube/api.ts";
import { attemptsOf, endOf } from "./drain-job.ts";

export type DrainTrouble = {
  readonly claim: KubeObject;
  readonly text: string;
};

export type TroubleFacts = {
  readonly job: KubeObject;
  readonly claim: KubeObject;
  readonly pods: readonly KubeObject[];
  /** Epoch milliseconds. */
  readonly nowMs: number;
};

type ContainerStatus = {
  readonly restartCount?: number;
  readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
  readonly lastState?: { readonly terminated?: { readonly message?: string } };
};
type PodStatus = {
  readonly phase?: string;
  readonly conditions?: readonly { type: string; status: string; message?: string }[];
  readonly containerStatuses?: readonly ContainerStatus[];
};

const failuresMin = 3;
/** A volume may have to come from another node, and an image from afar. */
const pendingMsMax = 300_000;
const wordsCharsMax = 300;

/** Undefined where it has only begun, or goes on well. */
export function troubleOf(facts: TroubleFacts): DrainTrouble | undefined {
  const { job, claim, nowMs } = facts;
  const pod = podOf(facts);
  const { phase, containerStatuses: [container] = [] } = statusOf(pod);
  const failures = attemptsOf(job) + (container?.restartCount ?? 0);
  const begunMs = Date.parse(String(job.metadata?.["creationTimestamp"]));
  const isPending = endOf(job) === undefined && (phase === undefined || phase === "Pending");
  const isLate = isPending && nowMs - begunMs > pendingMsMax;
  if (failures < failuresMin && !isLate) return undefined;
  const name = String(job.metadata?.["name"]);
  const what =
    failures < failuresMin
      ? `has not begun for ${Math.floor((nowMs - begunMs) / 60_000)} minutes`
      : `has failed ${failures} times`;
  const words = wordsOf(pod);
  return { claim, text: `the Job ${name} ${what}${words === "" ? "" : `: ${words}`}` };
}

/** Its newest. */
function podOf({ job, pods }: TroubleFacts): KubeObject | undefined {
  const name = job.metadata?.["name"];
  const theirs = pods.filter(({ metadata }) => {
    const labels = (metadata?.["labels"] ?? {}) as Readonly<Record<string, string>>;
    return labels["batch.kubernetes.io/job-name"] === name;
  });
  const begun = (pod: KubeObject): string => String(pod.metadata?.["creationTimestamp"] ?? "");
  return theirs.toSorted((a, b) => begun(a).localeCompare(begun(b))).at(-1);
}

function statusOf(pod: KubeObject | undefined): PodStatus {
  return (pod?.["status"] ?? {}) as PodStatus;
}

/** What the process said last, or why there is none. */
function wordsOf(pod: KubeObject | undefined): string {
  const { conditions = [], containerStatuses: [container] = [] } = statusOf(pod);
  const said = container?.lastState?.terminated?.message?.trim().split("\n").at(-1);
  const { reason, message } = container?.state?.waiting ?? {};
  const waits = reason === undefined ? undefined : [reason, message].join(" ").trim();
  const unscheduled = conditions.find(
    ({ type, status }) => type === "PodScheduled" && status === "False",
  )?.message;
  return (said ?? waits ?? unscheduled ?? "").slice(0, wordsCharsMax);
}
