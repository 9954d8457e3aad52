/**
 * What a sender who asked for it (RFC 3461, NOTIFY=SUCCESS) is told of a delivery, and what next hops are told of
 * what he asked. Pure.
 */
import type { LetterDsn } from "../delivery/commands.ts";
import { isWanted } from "../dsn-request.ts";
import type { Outcome } from "../outcome.ts";
import type { Envelope, StoredRecipient } from "../spool/records.ts";

/**
 * Whether this relay is the one that tells him: not where the next hop does (section 5.2.1). A stranger gets no
 * such mail from us: his sender address proves nothing.
 */
export function isConfirmed(
  envelope: Envelope,
  recipient: StoredRecipient,
  outcome: Outcome,
): boolean {
  if (outcome.kind !== "delivered" || outcome.dsn === true) return false;
  return envelope.trusted && envelope.sender !== "" && isWanted(recipient, "SUCCESS", "untold");
}

/** A mail store has it for good; an SMTP host may pass it on without telling anybody (section 5.2.2). */
export function arrivalOf(outcome: Outcome): "delivered" | "relayed" {
  return outcome.kind === "delivered" && outcome.stored === true ? "delivered" : "relayed";
}

/** Undefined where nothing was asked, as mostly. */
export function dsnOf({ ret, envid, recipients }: Envelope): LetterDsn | undefined {
  const asked = recipients.filter(
    ({ notify, orcpt }) => notify !== undefined || orcpt !== undefined,
  );
  if (ret === undefined && envid === undefined && asked.length === 0) return undefined;
  return { ret, envid, recipients: new Map(asked.map((each) => [each.address, each])) };
}
