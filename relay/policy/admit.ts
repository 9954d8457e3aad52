/**
 * Whether a recipient is taken, from whom, and under which key: pure, and the one place where relaying is
 * allowed or refused. Every doubt is refusal or deferral. See docs/routing.md.
 */
import {
  type Address,
  formatAddress,
  parseAddress,
  withoutSourceRoute,
} from "../../routing/address.ts";
import { match } from "../../routing/match.ts";
import type { Route } from "../../routing/route.ts";
import type { RouteTable } from "../../routing/table.ts";
import { assertNever, type Reply } from "../outcome.ts";
import { everyDomainKey, isSuffixKey, outboundKey } from "./admission-key.ts";

export type Admission =
  | {
      readonly ok: true;
      readonly address: string;
      readonly key: string;
      /** Undefined under rule 5. */
      readonly route: Route | undefined;
    }
  | { readonly ok: false; readonly reply: Reply; readonly reason: RefusalReason };

/** With the listener's `Refusal`, the label set of the metric `mailroute_refused_total`. */
export type RefusalReason =
  | "syntax"
  | "relaying"
  | "rejected"
  | "unlisted-literal"
  | "unavailable"
  | "stale"
  | "denied-network"
  | "login"
  | "sender"
  | "rate"
  | "header"
  | "size"
  | "line-endings"
  | "pipelining"
  | "loop"
  | "room"
  | "disk";

export type Applicant = {
  readonly table: RouteTable;
  readonly stale: boolean;
  /** Keys are missing from the table: a matching suffix may be wider than one of them. */
  readonly incomplete?: boolean;
  readonly trusted: boolean;
  readonly sender: Address | undefined;
  /** What stood between < and > in RCPT TO. */
  readonly path: string;
  readonly utf8: boolean;
  /** Where mail to <postmaster> without a domain goes (RFC 5321 section 4.5.1). */
  readonly postmaster: string;
};

export function admit(applicant: Applicant): Admission {
  const bare = withoutSourceRoute(applicant.path);
  const isPostmaster = bare.toLowerCase() === "postmaster";
  const text = isPostmaster ? applicant.postmaster : bare;
  const address = parseAddress(text, { utf8: applicant.utf8 });
  if (address === undefined) {
    return refuse("syntax", 501, "5.1.3", "bad recipient address syntax");
  }
  const found = match(applicant.table, { recipient: address, sender: applicant.sender });
  switch (found.kind) {
    case "unlisted-literal":
      return refuse("unlisted-literal", 550, "5.1.2", "no route names this address literal");
    case "outbound":
      if (!applicant.trusted && !isPostmaster) return relayingDenied(applicant);
      if (applicant.stale) return staleTable();
      return { ok: true, address: formatAddress(address), key: outboundKey, route: undefined };
    case "route": {
      if (applicant.incomplete === true && isSuffixKey(found.key)) return staleTable();
      const refusal = refusedByRoute(found.route, { ...applicant, isPostmaster });
      if (refusal !== undefined) return refusal;
      if (applicant.stale && found.key === everyDomainKey) return staleTable();
      return { ok: true, address: formatAddress(address), key: found.key, route: found.route };
    }
    default:
      return assertNever(found);
  }
}

/** <postmaster> is for everybody (RFC 5321 section 4.5.1), to the one mailbox that the operator has named. */
function refusedByRoute(
  route: Route,
  applicant: Applicant & { readonly isPostmaster: boolean },
): Admission | undefined {
  if (route.target.kind === "reject") {
    const { code, status, message } = route.target;
    return refuse("rejected", code, status, message);
  }
  if (applicant.trusted) return undefined;
  if (route.access !== "Anyone" && !applicant.isPostmaster) return relayingDenied(applicant);
  if (route.unavailable !== undefined) {
    return refuse("unavailable", 451, "4.3.5", "this domain's route cannot be used now, try again");
  }
  return undefined;
}

function relayingDenied({ stale }: Pick<Applicant, "stale">): Admission {
  return stale
    ? refuse("relaying", 450, "4.7.1", "relaying denied while the route table may be old")
    : refuse("relaying", 550, "5.7.1", "relaying denied");
}

function staleTable(): Admission {
  return refuse("stale", 451, "4.3.0", "the route table may be old, try again");
}

function refuse(reason: RefusalReason, code: number, status: string, text: string): Admission {
  return { ok: false, reason, reply: { code, status, text } };
}
