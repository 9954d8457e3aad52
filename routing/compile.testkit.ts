/** Small makers for the tests of this folder: resources as a person would write them, and short cuts. */
import { type Address, parseAddress } from "./address.ts";
import type { RawRoute } from "./candidates.ts";
import { type Compiled, type CompileInput, compile } from "./compile.ts";
import type { Installation } from "./delegation.ts";
import { type Match, match } from "./match.ts";
import { routeIdOf } from "./parse-route.ts";
import type { SecretFacts } from "./references.ts";
import type { RouteTable } from "./table.ts";

export const installation: Installation = {
  namespace: "mail",
  className: "default",
  delegation: "required",
};

export function mailRoute(id: string, spec: Record<string, unknown>, createdAt?: string): RawRoute {
  const [namespace = "", name = ""] = id.split("/");
  const resource = {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailRoute",
    metadata: { namespace, name, ...(createdAt !== undefined && { creationTimestamp: createdAt }) },
    spec: "target" in spec ? spec : { ...spec, target: hosts("mx.example") },
  };
  return { id: routeIdOf(namespace, name), resource };
}

export function mailGrant(name: string, spec: Record<string, unknown>) {
  const resource = {
    apiVersion: "mailroute.dev/v1alpha1",
    kind: "MailGrant",
    metadata: { name },
    spec,
  };
  return { name, resource };
}

export function hosts(...names: string[]) {
  return { hosts: names.map((host) => ({ host })) };
}

export function compiled(
  routes: readonly RawRoute[],
  options: Partial<CompileInput> & { readonly secrets?: ReadonlyMap<string, SecretFacts> } = {},
): Compiled {
  const { secrets = new Map(), ...rest } = options;
  return compile({
    routes,
    grants: [],
    references: { secrets, namespaces: new Map() },
    previous: undefined,
    now: 1_000_000,
    installation,
    ...rest,
  });
}

export function address(text: string): Address {
  const parsed = parseAddress(text, { utf8: true });
  if (parsed === undefined) throw new TypeError(`not an address: ${text}`);
  return parsed;
}

export function matched(table: RouteTable, recipient: string, sender?: string): Match {
  const from = sender === undefined ? undefined : address(sender);
  return match(table, { recipient: address(recipient), sender: from });
}

/** "mail/a by suffix:ms.example", "outbound" or "unlisted-literal". */
export function way(table: RouteTable, recipient: string, sender?: string): string {
  const found = matched(table, recipient, sender);
  return found.kind === "route" ? `${found.route.id} by ${found.key}` : found.kind;
}
