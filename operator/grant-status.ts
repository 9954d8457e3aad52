/** A MailGrant's status: pure. From compile's verdict to `Accepted`, or undefined where that stands already. */
import type { KubeObject } from "../kube/api.ts";
import type { GrantVerdict } from "../routing/delegation.ts";
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
  const conditions = conditionsOf([accepted(verdict)], before.conditions ?? [], at);
  const isSame =
    before.observedGeneration === observedGeneration &&
    areSame(before.conditions ?? [], conditions);
  return isSame ? undefined : { observedGeneration, conditions };
}

function accepted(verdict: Judged): Draft {
  if (verdict.kind === "accepted")
    return { type: "Accepted", status: "True", reason: "Accepted", message: "in force" };
  const shown = verdict.issues
    .slice(0, issuesShownMax)
    .map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  const more = verdict.issues.length > shown.length ? ["and more"] : [];
  return {
    type: "Accepted",
    status: "False",
    reason: "Invalid",
    message: [...shown, ...more].join("; "),
  };
}
