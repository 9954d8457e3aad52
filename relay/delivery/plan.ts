/** Which recipients of one message go together in one transaction: those that share next hop and policy. Pure. */
import type { Route } from "../../routing/route.ts";

export type Planned = {
  /** The recipient's place in the message. */
  readonly index: number;
  readonly domain: string;
  readonly route: Route;
};

export type Group = {
  /** Mail of one key goes to the same hosts under the same policy: it shares transactions, and waits in one lane. */
  readonly key: string;
  readonly route: Route;
  /** The recipients' domain; that of the first where the target does not depend on it. */
  readonly domain: string;
  /** Their places in the message. */
  readonly recipients: readonly number[];
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
  if (only !== undefined && recipients.length === 1)
    return [groupOf(laneKeyOf(only), recipients, only)];
  const groups: Group[] = [];
  for (const [key, members] of Map.groupBy(recipients, laneKeyOf)) {
    for (let at = 0; at < members.length; at += options.recipientsPerTransactionMax) {
      const part = members.slice(at, at + options.recipientsPerTransactionMax);
      const first = part[0];
      if (first !== undefined) groups.push(groupOf(key, part, first));
    }
  }
  return groups;
}

function groupOf(key: string, recipients: readonly Planned[], first: Planned): Group {
  const places = recipients.map(({ index }) => index);
  return { key, route: first.route, domain: first.domain, recipients: places };
}

/**
 * In which lane a recipient waits. Only MX without a domain of its own depends on the recipient's; "|" is in no route
 * id or domain.
 */
export function laneKeyOf({ route, domain }: Pick<Planned, "route" | "domain">): string {
  const { target } = route;
  const byDomain = target.kind === "mx" && target.domain === undefined;
  return byDomain ? `${route.id}|${domain}` : route.id;
}
