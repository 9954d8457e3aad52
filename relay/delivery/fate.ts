/**
 * What one transaction did to each of its recipients: from the replies, in the order of the dialog,
 * to outcomes, and to the question whether another host may be tried. Pure.
 */
import type { Outcome, Reply } from "../outcome.ts";
import { deferred, type Trouble } from "./reply.ts";

/** All that a next hop said. Filled by next-hop.ts; `rcpt` and `finals` run parallel to the recipients. */
export type Transcript = {
  mail: Reply | undefined;
  readonly rcpt: (Reply | undefined)[];
  data: Reply | undefined;
  readonly finals: (Reply | undefined)[];
  bodySent: boolean;
  /** The next hop tells senders what becomes of their mail, as they asked (RFC 3461). */
  readonly dsn: boolean;
  /** It is a mail store: LMTP. */
  readonly stores: boolean;
  /** Why the dialog ended early: a broken connection, a time-out, garbage. */
  trouble: Trouble | undefined;
};

export type Verdict =
  /** A kept connection was dead: nothing was said, try once more on a new one. */
  | { readonly kind: "stale" }
  | {
      readonly kind: "told";
      readonly outcomes: readonly Outcome[];
      /** Positions of recipients that may go to the next host. */
      readonly again: readonly number[];
      /** Ours or policy's fault: the host wants rest. */
      readonly rest?: Trouble;
    };

export function emptyTranscript(recipients: number): Transcript {
  return {
    mail: undefined,
    rcpt: new Array<Reply | undefined>(recipients).fill(undefined),
    data: undefined,
    finals: new Array<Reply | undefined>(recipients).fill(undefined),
    bodySent: false,
    dsn: false,
    stores: false,
    trouble: undefined,
  };
}

export function isAccepted(reply: Reply | undefined): boolean {
  return reply !== undefined && reply.code < 300;
}

export function judge(transcript: Transcript, at: { hop: string; reused: boolean }): Verdict {
  if (at.reused && isStale(transcript)) return { kind: "stale" };
  const { mail, rcpt } = transcript;
  const count = rcpt.length;
  if (mail === undefined) return forAll(count, lost(transcript, at.hop), true);
  if (!isAccepted(mail)) {
    const fate = fateOf(mail, at.hop);
    const verdict = forAll(count, fate, fate.kind === "deferred");
    return isPolicy(fate) ? { ...verdict, rest: fate } : verdict;
  }
  const anyAccepted = rcpt.some(isAccepted);
  const outcomes: Outcome[] = [];
  const again: number[] = [];
  let rest: Trouble | undefined;
  for (let index = 0; index < count; index++) {
    const outcome = recipientFate(transcript, index, at.hop);
    outcomes.push(outcome);
    if (outcome.kind !== "deferred" || transcript.bodySent) continue;
    // 421 says something of the connection and nothing of the recipient (RFC 5321 section 3.8).
    const said = rcpt[index];
    const unsaid = said === undefined || isAccepted(said) || said.code === 421;
    // RFC 5321 section 5.1: with nobody accepted, or the dialog broken before the message, another may.
    if (!anyAccepted || (unsaid && transcript.trouble !== undefined)) again.push(index);
    if (!anyAccepted && isPolicy(outcome)) rest = outcome;
  }
  return { kind: "told", outcomes, again, ...(rest === undefined ? {} : { rest }) };
}

/** Nothing but the connection itself has answered, or a 421 that was waiting for us. */
function isStale({ mail, trouble }: Transcript): boolean {
  if (mail !== undefined) return mail.code === 421;
  if (trouble?.kind !== "deferred") return false;
  return ["connect", "timeout", "reply"].includes(trouble.cause);
}

function recipientFate(transcript: Transcript, index: number, hop: string): Outcome {
  const rcpt = transcript.rcpt[index];
  if (rcpt === undefined) return lost(transcript, hop);
  if (!isAccepted(rcpt)) return fateOf(isTooMany(rcpt) ? asTooMany(rcpt) : rcpt, hop);
  const final = transcript.finals[index];
  if (final !== undefined) {
    const arrived = {
      ...(transcript.dsn && { dsn: true as const }),
      ...(transcript.stores && { stored: true as const }),
    };
    return isAccepted(final)
      ? { kind: "delivered", reply: final, hop, ...arrived }
      : fateOf(final, hop);
  }
  const { data } = transcript;
  return data === undefined || data.code < 400 ? lost(transcript, hop) : fateOf(data, hop);
}

function lost(transcript: Transcript, hop: string): Trouble {
  const trouble =
    transcript.trouble ?? deferred("protocol", "4.5.0", "the next hop ended the dialog early");
  return { ...trouble, hop };
}

// RFC 3463: of the mailbox (full, as mail stores say it), or of the message's size.
const saysWhy = /^5\.(?:2\.\d+|3\.4)$/;

/** RFC 5321 section 4.5.3.1.10: 552 to RCPT may mean too many recipients, unless it says what else it means. */
function isTooMany({ code, status }: Reply): boolean {
  return code === 552 && !saysWhy.test(status);
}

/** As 452 says it. */
function asTooMany(reply: Reply): Reply {
  return { code: 452, status: `4${reply.status.slice(1)}`, text: reply.text };
}

// RFC 4954 section 6: the next hop wants another authentication than we offer. Not the sender's fault.
const authCodes = new Set([454, 530, 534, 535, 538]);

function fateOf(reply: Reply, hop: string): Trouble {
  if (authCodes.has(reply.code)) return { kind: "deferred", cause: "auth", reply, hop };
  if (reply.code >= 500) return { kind: "failed", reply, hop };
  if (reply.code >= 400) return { kind: "deferred", cause: "reply", reply, hop };
  return { kind: "deferred", cause: "protocol", reply, hop };
}

function isPolicy(outcome: Outcome): outcome is Trouble {
  return outcome.kind === "deferred" && outcome.cause === "auth";
}

function forAll(
  count: number,
  fate: Trouble,
  mayGoOn: boolean,
): Extract<Verdict, { kind: "told" }> {
  const positions = Array.from({ length: count }, (_, index) => index);
  return { kind: "told", outcomes: positions.map(() => fate), again: mayGoOn ? positions : [] };
}
