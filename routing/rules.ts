/**
 * Rules that join several fields of a resource. One table serves both sides: `check` runs in zod, `cel`
 * goes into the CRD, and a test on a real API server shows that both say the same. A rule must be cheap
 * for the CEL cost estimator: sizes and membership, no nested loops.
 */
import type * as z from "zod";

export type Rule<T> = {
  /** True where the resource is good. `self` is the object to which the table belongs. */
  readonly cel: string;
  readonly message: string;
  /** Where the error is shown, from that object; "" is the object itself. */
  readonly fieldPath: string;
  readonly check: (self: T) => boolean;
};

/** Adds the rules to a zod object, and to its JSON schema as x-kubernetes-validations. */
export function withRules<T extends z.ZodObject>(
  schema: T,
  rules: readonly Rule<z.output<T>>[],
  crdOnly: readonly Pick<Rule<unknown>, "cel" | "message" | "fieldPath">[] = [],
) {
  const validations = [...rules, ...crdOnly].map(({ cel, message, fieldPath }) => ({
    rule: cel,
    message,
    ...(fieldPath !== "" && { fieldPath: `.${fieldPath}` }),
  }));
  return schema
    .superRefine((self, context) => {
      for (const rule of rules) {
        if (rule.check(self as z.output<T>)) continue;
        const path = rule.fieldPath === "" ? [] : rule.fieldPath.split(".");
        context.addIssue({ code: "custom", message: rule.message, path });
      }
    })
    .meta({ "x-kubernetes-validations": validations });
}

/** `size()` of an optional list. */
export const celSize = (field: string) => `(has(self.${field}) ? size(self.${field}) : 0)`;
