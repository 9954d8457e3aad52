/**
 * A MailRoute's status: pure. From compile's verdict and what the relays serve to its conditions, and whether they
 * differ from those that stand: a status is written on transitions only.
 */
import type { KubeObject } from "../kube/api.ts";
import type { Verdict, Condition as Verdicted } from "../routing/verdict.ts";
import { areSame, type Condition, conditionsOf, type Draft, type Truth } from "./conditions.ts";

export type Status = {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
  readonly keys: { readonly claimed: number; readonly held: number };
  /** Where its mail goes, for people: a printer column. */
  readonly targets: string;
};

/** What the ready relays say of one generation of a route. */
export type Served = { readonly status: Truth; readonly reason: string; readonly message: string };

/** The reason of `Programmed` while a generation is in no table. */
export const notPublished = "NotPublished";
const targetsCharsMax = 200;

export type Judged = Exclude<Verdict, { kind: "other-class" }>;

export type RouteFacts = {
  readonly verdict: Judged;
  readonly served: Served;
  readonly delivering: Served;
  /** Why the guard holds the compiled table back, and what mends that; undefined: it does not. */
  readonly heldBack?: string | undefined;
};

/** Undefined where the status that stands says the same. `now` is RFC 3339. */
export function nextStatus(
  object: KubeObject,
  { now, ...facts }: RouteFacts & { readonly now: string },
): Status | undefined {
  const observedGeneration = Number(object.metadata?.["generation"] ?? 0);
  const before = (object["status"] ?? {}) as Partial<Status>;
  const at = { generation: observedGeneration, now };
  const next: Status = {
    observedGeneration,
    conditions: conditionsOf(drafts(facts), before.conditions ?? [], at),
    keys: facts.verdict.keys,
    targets: targetsOf(object),
  };
  return isSame(before, next) ? undefined : next;
}

const noKeys: Served = {
  status: "False",
  reason: "NoKeys",
  message: "no key of this MailRoute is in the route table",
};

function drafts({ verdict, served, delivering, heldBack }: RouteFacts): readonly Draft[] {
  const accepted = ofType(verdict.conditions, "Accepted");
  const resolved = ofType(verdict.conditions, "ResolvedRefs");
  // The table that stands serves what it has; only what is new waits for the guard.
  const waits = served.reason === notPublished && heldBack !== undefined;
  const known = waits ? { ...served, reason: "HeldBack", message: heldBack } : served;
  const hasNoKeys = verdict.keys.held === 0;
  const programmed: Draft = { type: "Programmed", ...(hasNoKeys && !waits ? noKeys : known) };
  return [
    accepted,
    resolved,
    programmed,
    ready([accepted, resolved, programmed]),
    { type: "Delivering", ...(hasNoKeys ? { ...noKeys, status: "Unknown" } : delivering) },
    stalled([accepted, resolved, ...(waits ? [programmed] : [])]),
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
    areSame(before.conditions ?? [], next.conditions)
  );
}
