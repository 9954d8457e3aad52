/**
 * Conditions of a status, of whatever kind: pure. From drafts and what stands to conditions with their times,
 * whether anything differs, and which changes are worth an Event.
 */
export type Truth = "True" | "False" | "Unknown";

export type Condition = {
  readonly type: string;
  readonly status: Truth;
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
  /** RFC 3339. */
  readonly lastTransitionTime: string;
};

export type Draft = Pick<Condition, "type" | "status" | "reason" | "message">;

export type Note = {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
};

type Conditions = readonly Condition[];

/** The CRDs' defaults are from 1970: those were nobody's transitions. */
const isDefault = ({ lastTransitionTime }: Condition): boolean =>
  lastTransitionTime.startsWith("1970");

/** The CRDs take 32,768. */
const messageCharsMax = 4096;

/** In the order of the drafts, then those that others have written. */
export function conditionsOf(
  drafts: readonly Draft[],
  before: Conditions,
  at: { readonly generation: number; readonly now: string },
): Conditions {
  const next = drafts.map((draft): Condition => {
    const old = before.find(({ type }) => type === draft.type);
    const stands = old?.status === draft.status && !isDefault(old);
    const lastTransitionTime = stands ? old.lastTransitionTime : at.now;
    const message = draft.message.slice(0, messageCharsMax);
    return { ...draft, message, observedGeneration: at.generation, lastTransitionTime };
  });
  const known = new Set(drafts.map(({ type }) => type));
  return [...next, ...before.filter(({ type }) => !known.has(type))];
}

/** Times aside. */
export function areSame(before: Conditions, next: Conditions): boolean {
  const fields = ["status", "reason", "message", "observedGeneration"] as const;
  return (
    before.length === next.length &&
    next.every((condition) => {
      const old = before.find(({ type }) => type === condition.type);
      return old !== undefined && fields.every((field) => old[field] === condition[field]);
    })
  );
}

/** What is bad when it is False; `Stalled` is bad when it is True. Programmed comes and goes with each edit. */
const noted = new Set(["Accepted", "ResolvedRefs", "Delivering", "Stalled"]);

/** For `kubectl describe`: what has gone wrong, and what is well again. */
export function notesOf(before: Conditions, next: Conditions): readonly Note[] {
  return next.flatMap(({ type, status, reason, message }): Note[] => {
    const old = before.find((each) => each.type === type);
    if (!noted.has(type) || old?.status === status) return [];
    const bad = type === "Stalled" ? "True" : "False";
    if (status === bad)
      return isToldAlready(type, next) ? [] : [{ type: "Warning", reason, message }];
    if (old?.status !== bad || type === "Stalled") return [];
    return [{ type: "Normal", reason, message: message === "" ? `${type} again` : message }];
  });
}

/** Stalled repeats what another condition says, but for the guard's words. */
function isToldAlready(type: string, next: Conditions): boolean {
  const { reason } = next.find((each) => each.type === type) ?? {};
  return type === "Stalled" && reason !== "HeldBack";
}
