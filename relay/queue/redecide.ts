/**
 * Where a queued recipient goes now: pure. Each attempt uses the current table: a recipient whose admitting key is gone
 * may go to another explicit rule, never to rule 5 (MX without a route), and to "." only if "." or rule 5 admitted it.
 * A stranger's mail stays with `Anyone` routes. See docs/routing.md.
 */
import { parseAddress } from "../../routing/address.ts";
import { match } from "../../routing/match.ts";
import type { Route } from "../../routing/route.ts";
import type { RouteTable } from "../../routing/table.ts";
import { assertNever, type DeferCause, type Outcome } from "../outcome.ts";
import { everyDomainKey, isSuffixKey, outboundKey } from "../policy/admission-key.ts";
import type { Envelope, StoredRecipient } from "../spool/records.ts";
import type { ActiveTable } from "../table/holder.ts";
import { admitted, type Entry } from "./entry.ts";

export type Way =
  | { readonly kind: "send"; readonly route: Route; readonly domain: string }
  | { readonly kind: "settled"; readonly outcome: Outcome; readonly route: Route | undefined };

export type Question = {
  readonly table: RouteTable;
  /** The table may be old: only explicit keys count. */
  readonly stale: boolean;
  /** Keys are missing from the table: a matching suffix may be wider than one of them. */
  readonly incomplete?: boolean;
  readonly envelope: Pick<Envelope, "sender" | "trusted">;
  readonly recipient: StoredRecipient;
  /** What rule 5 means in this installation. */
  readonly outbound: Route;
  /** The mailbox of <postmaster>, which strangers may write to by that name. */
  readonly postmaster: string;
};

/** By what it is decided now. */
export type Rules = Pick<Question, "outbound" | "postmaster"> & { readonly table: ActiveTable };

/** Where one recipient of a message in the queue goes. */
export function wayOf(entry: Entry, index: number, { table, outbound, postmaster }: Rules): Way {
  const { envelope } = entry;
  const recipient = admitted(entry, index);
  return redecide({ ...table, envelope, recipient, outbound, postmaster });
}

export function redecide(question: Question): Way {
  const { table, envelope, recipient, outbound } = question;
  const address = parseAddress(recipient.address, { utf8: true });
  if (address === undefined) return withdrawn("the address is no longer understood");
  const sender = parseAddress(envelope.sender, { utf8: true });
  const found = match(table, { recipient: address, sender });
  switch (found.kind) {
    case "unlisted-literal":
      return withdrawn("no route names this address literal now");
    case "outbound":
      if (recipient.key !== outboundKey) return withdrawn("the route was withdrawn");
      if (question.stale) return staleTable();
      return { kind: "send", route: outbound, domain: address.domain };
    case "route":
      if (question.incomplete === true && isSuffixKey(found.key)) return staleTable();
      if (
        found.key === everyDomainKey &&
        recipient.key !== everyDomainKey &&
        recipient.key !== outboundKey
      ) {
        return withdrawn("the route was withdrawn; the rule for every domain does not inherit it");
      }
      if (
        !envelope.trusted &&
        found.route.access !== "Anyone" &&
        recipient.address !== question.postmaster &&
        found.route.target.kind !== "reject"
      ) {
        return withdrawn(
          "the route that took this from outside is gone; the one there now is for trusted senders",
        );
      }
      return byRoute(found.route, address.domain);
    default:
      return assertNever(found);
  }
}

function byRoute(route: Route, domain: string): Way {
  if (route.unavailable !== undefined) {
    return deferred(
      "unavailable",
      "4.3.5",
      `the route cannot be used now: ${route.unavailable}`,
      route,
    );
  }
  const { target } = route;
  switch (target.kind) {
    case "reject": {
      const { code, status, message } = target;
      return {
        kind: "settled",
        route,
        outcome: { kind: "failed", reply: { code, status, text: message } },
      };
    }
    case "discard": {
      const reply = { code: 250, status: "2.0.0", text: "discarded, as its route says" };
      return { kind: "settled", route, outcome: { kind: "delivered", reply, hop: "discard" } };
    }
    case "hosts":
    case "inbound":
      return { kind: "send", route, domain };
    case "mx":
      return { kind: "send", route, domain: target.domain ?? domain };
    default:
      return assertNever(target);
  }
}

function staleTable(): Way {
  return deferred("stale", "4.3.0", "the route table may be old");
}

/** RFC 3463 4.4.4, unable to route. */
function withdrawn(text: string): Way {
  return deferred("withdrawn", "4.4.4", text);
}

function deferred(cause: DeferCause, status: string, text: string, route?: Route): Way {
  const outcome: Outcome = { kind: "deferred", cause, reply: { code: 451, status, text } };
  return { kind: "settled", outcome, route };
}
