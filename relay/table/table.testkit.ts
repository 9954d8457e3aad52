/** Makes a route table for tests from short specs, by the same compile as everywhere. */
import { compile } from "../../routing/compile.ts";
import type { RouteId } from "../../routing/route.ts";
import type { RouteTable } from "../../routing/table.ts";
import type { ActiveTable } from "./holder.ts";

/** `specs` by name, each a MailRoute's spec; every key must be in force. */
export function tableOf(specs: Readonly<Record<string, object>>): RouteTable {
  const routes = Object.entries(specs).map(([name, spec]) => ({
    id: `mail/${name}` as RouteId,
    resource: {
      apiVersion: "mailroute.dev/v1alpha1",
      kind: "MailRoute",
      metadata: { name, namespace: "mail" },
      spec,
    },
  }));
  const { table, verdicts } = compile({
    routes,
    grants: [],
    references: { secrets: new Map(), namespaces: new Map() },
    previous: undefined,
    now: 0,
    installation: { namespace: "mail", className: "default", delegation: "off" },
  });
  for (const [id, verdict] of verdicts) {
    if (
      verdict.kind === "other-class" ||
      verdict.keys.held < verdict.keys.claimed ||
      verdict.issues.length > 0
    )
      throw new Error(`${id}: ${JSON.stringify(verdict)}`);
  }
  return table;
}

export function active(
  specs: Readonly<Record<string, object>>,
  more: Partial<ActiveTable> = {},
): ActiveTable {
  return { table: tableOf(specs), digest: "d", activatedAtMs: 0, stale: false, relays: 1, ...more };
}

export const toHost = (host: string) => ({ hosts: [{ host }] });
