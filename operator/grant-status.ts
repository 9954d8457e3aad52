/** A MailGrant's status: pure. From compile's verdict to `Accepted`, or undefined where that stands already. */
import type { KubeObject } from "../kube/api.ts";
import type { GrantVerdict } from "../routing/delegation.ts";
import type { Issue } from "../routing/field-reader.ts";
import { areSame, type Condition, conditionsOf, type Draft } from "./conditions.ts";

export type GrantStatus = {
  readonly observedGeneration: number;
  readonly conditions: readonly Condition[];
};

type Judged = Exclude<GrantVerdict, { kind: "other-class" }>;

const issuesShownMax = 5;

export function nextGrantStatus(
  object: KubeObject,
  { verdict, now }: { readonly verdict: Judged; readonly now: string },
): GrantStatus | undefined {
  const observedGeneration = Number(object.metadata?.["generation"] ?? 0);
  const before = (object["status"] ?? {}) as Partial<GrantStatus>;
  const at = { generation: observedGeneration, now };
  const drafts = [accepted(verdict), ...resolvedKeys(verdict)];
  const conditions = conditionsOf(drafts, before.conditions ?? [], at);
  const isSame =
    before.observedGeneration === observedGeneration &&
    areSame(before.conditions ?? [], conditions);
  return isSame ? undefined : { observedGeneration, conditions };
}

function accepted(verdict: Judged): Draft {
  if (verdict.kind === "accepted")
    return { type: "Accepted", status: "True", reason: "Accepted", message: "in force" };
  const message = textOf(verdict.issues);
  return { type: "Accepted", status: "False", reason: "Invalid", message };
}

/** Of a grant with DKIM keys. */
function resolvedKeys(verdict: Judged): readonly Draft[] {
  if (verdict.kind !== "accepted" || verdict.problems === undefined) return [];
  const { problems } = verdict;
  const type = "ResolvedRefs";
  if (problems.length === 0)
    return [{ type, status: "True", reason: "Resolved", message: "its DKIM keys are here" }];
  return [{ type, status: "False", reason: "KeyUnavailable", message: textOf(problems) }];
}

function textOf(issues: readonly Issue[]): string {
  const shown = issues
    .slice(0, issuesShownMax)
    .map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  return [...shown, ...(issues.length > shown.length ? ["and more"] : [])].join("; ");
}
