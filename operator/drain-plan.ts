/**
 * Which relays' claims are to be emptied, and by which Jobs: pure. A claim is left over where its ordinal is not among
 * the StatefulSet's replicas any more. A Job that has ended while its claim is still there is made again, later each
 * time (drain-job.ts says what a Job is, drain-trouble.ts what keeps one from getting done).
 */
import type { KubeObject } from "../kube/api.ts";
import { attemptsOf, endOf, imageOf, jobOf } from "./drain-job.ts";
import { type DrainTrouble, troubleOf } from "./drain-trouble.ts";

export type DrainFacts = {
  /** The installation: its StatefulSet is NAME-relay, its claims spool-NAME-relay-N. */
  readonly name: string;
  readonly statefulSet: KubeObject;
  readonly claims: readonly KubeObject[];
  readonly jobs: readonly KubeObject[];
  /** Relays' and Jobs'. */
  readonly pods: readonly KubeObject[];
  /** Epoch milliseconds. */
  readonly nowMs: number;
};

export type DrainPlan = {
  /** Once those of `remove` have gone: one may take the name of another. */
  readonly create: readonly KubeObject[];
  /** Jobs that are done, whose relay is wanted again, or that have ended in vain. */
  readonly remove: readonly KubeObject[];
  /** Claims that still hold something, whether or not they have a Job yet. */
  readonly left: number;
  /** What keeps some of them from being emptied. */
  readonly troubles: readonly DrainTrouble[];
};

/** How long after a Job's end in vain the next is made; twice as long each time. */
const againMsMin = 15_000;
const againMsMax = 600_000;

type Left = { readonly ordinal: number; readonly claim: KubeObject };

export function planDrains(facts: DrainFacts): DrainPlan {
  const { name, jobs, pods } = facts;
  const left = leftOver(facts);
  const known = new Map(jobs.map((job) => [ordinalIn(job, `${name}-drain-`), job]));
  const running = new Set(pods.map((pod) => ordinalIn(pod, `${name}-relay-`)));
  const isNeeded = new Set(left.map(({ ordinal }) => ordinal));
  const create: KubeObject[] = [];
  const remove = jobs.filter((job) => {
    const ordinal = ordinalIn(job, `${name}-drain-`);
    return ordinal !== undefined && !isGoing(job) && !isNeeded.has(ordinal);
  });
  const troubles: DrainTrouble[] = [];
  for (const { ordinal, claim } of left) {
    // With no relay there is nobody to take anything.
    if (countOf(facts.statefulSet).replicas === 0 || running.has(ordinal)) continue;
    const job = known.get(ordinal);
    if (job !== undefined && isGoing(job)) continue;
    const trouble = job && troubleOf({ job, claim, pods, nowMs: facts.nowMs });
    if (trouble !== undefined) troubles.push(trouble);
    if (job !== undefined && !isDue(job, trouble, facts)) continue;
    if (job !== undefined) remove.push(job);
    const attempts = job === undefined ? 0 : attemptsOf(job) + 1;
    create.push(jobOf({ name, ordinal, attempts, statefulSet: facts.statefulSet }));
  }
  return { create, remove, left: left.length, troubles };
}

function leftOver({ name, claims, statefulSet }: DrainFacts): readonly Left[] {
  const { replicas, start } = countOf(statefulSet);
  return claims.flatMap((claim) => {
    const ordinal = ordinalIn(claim, `spool-${name}-relay-`);
    if (ordinal === undefined || isGoing(claim)) return [];
    const isWanted = ordinal >= start && ordinal < start + replicas;
    return isWanted ? [] : [{ ordinal, claim }];
  });
}

/**
 * Whether another Job is to take its place: it has ended, and the claim is there all the same (it failed, or the claim
 * is another of the same name); or it does not get done, and relays have another image by now.
 */
function isDue(job: KubeObject, trouble: DrainTrouble | undefined, facts: DrainFacts): boolean {
  const { nowMs, statefulSet } = facts;
  const endMs = endOf(job);
  if (endMs === undefined) return trouble !== undefined && imageOf(job) !== imageOf(statefulSet);
  return nowMs >= endMs + Math.min(againMsMin * 2 ** attemptsOf(job), againMsMax);
}

function isGoing({ metadata }: KubeObject): boolean {
  return metadata?.["deletionTimestamp"] !== undefined;
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
