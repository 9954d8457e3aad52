/** Which recipients of one message go together in one transaction: those that share next hop and policy. Pure. */
import type { Route, RouteId } from "../../routing/route.ts";

export type Planned = {
  /** The recipient's place in the message. */
  readonly index: number;
  readonly address: string;
  readonly domain: string;
  readonly route: Route;
};

export type Group = {
  readonly routeId: RouteId;
  readonly route: Route;
  /** The recipients' domain; that of the first where the target does not depend on it. */
  readonly domain: string;
  readonly recipients: readonly Planned[];
};

export type PlanOptions = { readonly recipientsPerTransactionMax: number };

/** RFC 5321 section 4.5.3.1.8: every server takes at least 100 recipients. */
const defaultPlanOptions: PlanOptions = { recipientsPerTransactionMax: 100 };

/** Groups in the order of their first recipients, recipients in the order given. */
export function planTransactions(
  recipients: readonly Planned[],
  options: PlanOptions = defaultPlanOptions,
): readonly Group[] {
  const [only] = recipients;
  if (only !== undefined && recipients.length === 1) return [groupOf(recipients, only)];
  const groups: Group[] = [];
  for (const members of Map.groupBy(recipients, groupKey).values()) {
    for (let at = 0; at < members.length; at += options.recipientsPerTransactionMax) {
      const part = members.slice(at, at + options.recipientsPerTransactionMax);
      const first = part[0];
      if (first !== undefined) groups.push(groupOf(part, first));
    }
  }
  return groups;
}

function groupOf(recipients: readonly Planned[], first: Planned): Group {
  return { routeId: first.route.id, route: first.route, domain: first.domain, recipients };
}

/** Only MX without a domain of its own depends on the recipient's; "|" is in no route id or domain. */
function groupKey({ route, domain }: Planned): string {
  const { target } = route;
  const byDomain = target.kind === "mx" && target.domain === undefined;
  return byDomain ? `${route.id}|${domain}` : route.id;
}
