/**
 * What compile says about one MailRoute: conditions for its status, keys claimed and held, what it lost
 * and to whom. A loser learns the winner's namespace/name and nothing else about it.
 */
import type { Issue } from "./field-reader.ts";
import type { RecipientKey, SenderKey } from "./key.ts";
import type { RouteId } from "./route.ts";

export type Condition = {
  readonly type: "Accepted" | "ResolvedRefs";
  readonly status: "True" | "False" | "Unknown";
  readonly reason:
    | "Accepted"
    | "Invalid"
    | "NotPermitted"
    | "LimitExceeded"
    | "Conflicted"
    | "ResolvedRefs"
    | "SecretNotFound"
    | "SecretIncomplete"
    | "SecretNotLent"
    | "HostNotPermitted"
    | "Pending";
  readonly message: string;
};

export type Conflict = {
  readonly key: RecipientKey;
  readonly senderKey?: SenderKey;
  readonly winner: RouteId;
};

export type RefusedKey = {
  readonly key: RecipientKey;
  readonly reason: "NotPermitted" | "LimitExceeded";
  readonly message: string;
};

/** `claimed` and `held` count pairs of recipient key and sender key. */
export type Verdict =
  | { readonly kind: "other-class" }
  | {
      readonly kind: "accepted" | "invalid" | "refused" | "conflicted";
      readonly conditions: readonly Condition[];
      readonly keys: { readonly claimed: number; readonly held: number };
      /** Fields and mends; only where `kind` is "invalid". */
      readonly issues: readonly Issue[];
      readonly conflicts: readonly Conflict[];
      readonly refusedKeys: readonly RefusedKey[];
      /** Why its mail is deferred, as in the table. */
      readonly unavailable?: string;
    };

export type VerdictInput = {
  readonly claimed: number;
  readonly held: number;
  readonly issues: readonly Issue[];
  readonly conflicts: readonly Conflict[];
  readonly refusedKeys: readonly RefusedKey[];
  readonly resolved: Condition;
  readonly unavailable: string | undefined;
};

/** Lists in a verdict are for people: the counts say the rest. */
const listedMax = 20;

export function verdictOf(input: VerdictInput): Verdict {
  const accepted = acceptedCondition(input);
  return {
    kind: kindOf(accepted.reason),
    conditions: [accepted, input.resolved],
    keys: { claimed: input.claimed, held: input.held },
    issues: input.issues,
    conflicts: input.conflicts.slice(0, listedMax),
    refusedKeys: input.refusedKeys.slice(0, listedMax),
    ...(input.unavailable !== undefined && { unavailable: input.unavailable }),
  };
}

function kindOf(reason: Condition["reason"]): "accepted" | "invalid" | "refused" | "conflicted" {
  if (reason === "Invalid") return "invalid";
  if (reason === "Conflicted") return "conflicted";
  return reason === "Accepted" ? "accepted" : "refused";
}

function acceptedCondition(input: VerdictInput): Condition {
  const { issues, refusedKeys, conflicts } = input;
  const held = `${input.held} of ${input.claimed} keys are in force`;
  const [issue] = issues;
  if (issue !== undefined) {
    const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : "";
    return notAccepted("Invalid", `${issueText(issue)}${more}`);
  }
  const [refused] = refusedKeys;
  if (refused !== undefined) {
    return notAccepted(refused.reason, `${refused.key}: ${refused.message}; ${held}`);
  }
  const [lost] = conflicts;
  if (lost !== undefined) {
    const where = lost.senderKey === undefined ? lost.key : `${lost.key} from ${lost.senderKey}`;
    return notAccepted("Conflicted", `${where} is held by ${lost.winner}; ${held}`);
  }
  return { type: "Accepted", status: "True", reason: "Accepted", message: "all keys are in force" };
}

function notAccepted(reason: Condition["reason"], message: string): Condition {
  return { type: "Accepted", status: "False", reason, message };
}

export function resolvedRefs(reason: Condition["reason"], message: string): Condition {
  const status = reason === "ResolvedRefs" ? "True" : reason === "Pending" ? "Unknown" : "False";
  return { type: "ResolvedRefs", status, reason, message };
}

export function issueText({ path, message }: Issue): string {
  return `${path}: ${message}`;
}
