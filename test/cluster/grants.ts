/** Roles beside what was asked of the API server: pure, over Role objects and lines of the audit log. */
import type { Asked } from "./own-node.ts";

type Rule = {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
};

/** What was asked for and never allowed: an API server that has just started refuses what it will allow. */
export function forbidden(asked: readonly Asked[]): readonly string[] {
  const isRefused = ({ responseStatus }: Asked): boolean => responseStatus?.code === 403;
  const allowed = new Set(asked.filter((each) => !isRefused(each)).map(shown));
  return [...new Set(asked.filter(isRefused).map(shown))].filter((each) => !allowed.has(each));
}

/** What is granted and was never asked for. */
export function unused(roles: readonly unknown[], asked: readonly Asked[]): readonly string[] {
  const rules = roles.flatMap((role) => (role as { rules: Rule[] }).rules);
  return rules.flatMap(({ apiGroups, resources, resourceNames, verbs }) =>
    apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        verbs
          .map((verb) => ({ verb, group, resource, names: resourceNames }))
          .filter((grant) => !asked.some((each) => uses(each, grant)))
          .map(({ verb, names = [] }) => `${verb} ${group}/${resource} ${names.join()}`.trim()),
      ),
    ),
  );
}

function uses(
  { verb, objectRef }: Asked,
  grant: {
    readonly verb: string;
    readonly group: string;
    readonly resource: string;
    readonly names: readonly string[] | undefined;
  },
): boolean {
  if (objectRef === undefined || verb !== grant.verb) return false;
  const { apiGroup = "", resource, subresource, name = "" } = objectRef;
  const whole = subresource === undefined ? resource : `${resource}/${subresource}`;
  if (apiGroup !== grant.group || whole !== grant.resource) return false;
  return grant.names === undefined || grant.names.includes(name);
}

function shown({ verb, objectRef }: Asked): string {
  const { apiGroup = "", resource = "", subresource = "", name = "" } = objectRef ?? {};
  return `${verb} ${apiGroup}/${resource}/${subresource} ${name}`;
}

/** What was written, by resource and "namespace/name". */
export function writes(asked: readonly Asked[]): readonly { resource: string; id: string }[] {
  return asked
    .filter(({ verb }) => /^(create|update|patch|delete)/.test(verb))
    .map(({ objectRef }) => {
      const { resource = "", subresource, namespace = "", name = "" } = objectRef ?? {};
      const whole = subresource === undefined ? resource : `${resource}/${subresource}`;
      return { resource: whole, id: `${namespace}/${name}` };
    });
}
