/**
 * A MailRoute's status: pure. From compile's verdict and what the relays serve to the conditions of section 2
 * of the design, and whether they differ from those that stand: a status is written on transitions only.
 */
import type { KubeObject } from "../kube/api.ts";
import type { Verdict, Condition as Verdicted } from "../routing/verdict.ts";

export type Truth = "True" | "False" | "Unknown";

export type Condition = {
  readonly type: string;
  readonly status: Truth;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  readonly lastTransitionTime: string;
};

export type Status = {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly keys: { readonly claimed: number; readonly held: number };
  /** Where its mail goes, for people: a printer column. */
  readonly targets: string;
};

/** What the ready relays serve of one generation of a route. */
export type Served = { readonly status: Truth; readonly reason: string; readonly message: string };

const targetsCharsMax = 200;

type Judged = Exclude<Verdict, { kind: "other-class" }>;
type Draft = Pick<Condition, "type" | "status" | "reason" | "message">;

/** Undefined where the status that stands says the same. `now` is RFC 3339. */
export function nextStatus(options: {
  readonly object: KubeObject;
  readonly verdict: Judged;
  readonly served: Served;
  readonly now: string;
}): Status | undefined {
  const { object, verdict, served, now } = options;
  const observedGeneration = Number(object.metadata?.["generation"] ?? 0);
  const before = (object["status"] ?? {}) as Partial<Status>;
  const conditions = drafts(verdict, served).map((draft): Condition => {
    const old = before.conditions?.find(({ type }) => type === draft.type);
    // The CRD's default is from 1970: that was nobody's transition.
    const stands = old?.status === draft.status && !old.lastTransitionTime.startsWith("1970");
    const lastTransitionTime = stands ? old.lastTransitionTime : now;
    return { ...draft, observedGeneration, lastTransitionTime };
  });
  // Conditions that others have written stay.
  const known = new Set(conditions.map(({ type }) => type));
  const foreign = before.conditions?.filter(({ type }) => !known.has(type)) ?? [];
  const targets = targetsOf(object);
  const next: Status = {
    observedGeneration,
    conditions: [...conditions, ...foreign],
    keys: verdict.keys,
    targets,
  };
  return isSame(before, next) ? undefined : next;
}

function drafts(verdict: Judged, served: Served): readonly Draft[] {
  const accepted = ofType(verdict.conditions, "Accepted");
  const resolved = ofType(verdict.conditions, "ResolvedRefs");
  const programmed: Draft =
    verdict.keys.held === 0
      ? {
          type: "Programmed",
          status: "False",
          reason: "NoKeys",
          message: "no key of this MailRoute is in the route table",
        }
      : { type: "Programmed", ...served };
  return [
    accepted,
    resolved,
    programmed,
    ready([accepted, resolved, programmed]),
    stalled([accepted, resolved]),
  ];
}

function ofType(conditions: readonly Verdicted[], type: Verdicted["type"]): Draft {
  const found = conditions.find((each) => each.type === type);
  return found ?? { type, status: "Unknown", reason: "Pending", message: "not judged yet" };
}

/** kstatus waits for it: True only when everything before it is. */
function ready(parts: readonly Draft[]): Draft {
  const bad =
    parts.find(({ status }) => status === "False") ??
    parts.find(({ status }) => status === "Unknown");
  if (bad === undefined)
    return {
      type: "Ready",
      status: "True",
      reason: "Programmed",
      message: "in force on every ready relay",
    };
  return { type: "Ready", status: bad.status, reason: bad.reason, message: bad.message };
}

/** Only a person can mend it. */
function stalled(parts: readonly Draft[]): Draft {
  const bad = parts.find(({ status }) => status === "False");
  return bad === undefined
    ? { type: "Stalled", status: "False", reason: "Progressing", message: "" }
    : { type: "Stalled", status: "True", reason: bad.reason, message: bad.message };
}

/** "mx1.corp.example:25,mx2.corp.example:25", or the word of another target. */
function targetsOf(object: KubeObject): string {
  const { target } = (object["spec"] ?? {}) as { target?: Record<string, unknown> };
  const [kind = "none"] = Object.keys(target ?? {});
  if (kind !== "hosts") return kind;
  const hosts = target?.["hosts"] as readonly { host?: unknown; port?: unknown }[];
  const shown = hosts.map(({ host, port }) =>
    port === undefined ? String(host) : `${String(host)}:${String(port)}`,
  );
  return shown.join(",").slice(0, targetsCharsMax);
}

function isSame(before: Partial<Status>, next: Status): boolean {
  return (
    before.observedGeneration === next.observedGeneration &&
    before.keys?.claimed === next.keys.claimed &&
    before.keys.held === next.keys.held &&
    before.targets === next.targets &&
    before.conditions?.length === next.conditions.length &&
    next.conditions.every((condition) => {
      const old = before.conditions?.find(({ type }) => type === condition.type);
      const fields = ["status", "reason", "message", "observedGeneration"] as const;
      return old !== undefined && fields.every((field) => old[field] === condition[field]);
    })
  );
}
