/**
 * What the sender is told of an outcome: pure. Where only this relay's own people can mend it, its words
 * name Secrets, hosts and rules that are no sender's business; those stay in the log.
 */
import type { DeferCause, Outcome, Reply } from "../outcome.ts";

export type Told = { readonly reply: Reply; readonly hop: string | undefined };

const ours: ReadonlySet<DeferCause> = new Set(["credentials", "unavailable", "auth", "tls"]);

/** RFC 3463 X.3.5, system incorrectly configured. */
const misconfigured: Reply = {
  code: 451,
  status: "4.3.5",
  text: "the next hop could not be used because of a configuration problem of this relay",
};

export function isOurs(outcome: Outcome): boolean {
  return outcome.kind === "deferred" && ours.has(outcome.cause);
}

export function toldOf(outcome: Outcome): Told {
  if (isOurs(outcome)) return { reply: misconfigured, hop: undefined };
  return { reply: outcome.reply, hop: outcome.hop };
}
