/**
 * Delivery status notifications as new messages: whether one is due, to whom it goes and under which key.
 * Pure but for the id that it is given; dsn.ts makes the text.
 */
import { formatAddress, parseAddress } from "../../routing/address.ts";
import { match } from "../../routing/match.ts";
import type { Route } from "../../routing/route.ts";
import { buildDsn, type DsnAction } from "../delivery/dsn.ts";
import { headerBlock } from "../delivery/header.ts";
import type { Reply } from "../outcome.ts";
import { outboundKey } from "../policy/admission-key.ts";
import { checksum, type Envelope, type StoredRecipient } from "../spool/records.ts";
import type { ActiveTable } from "../table/holder.ts";
import type { Round } from "./entry.ts";

export type Report = {
  readonly recipient: StoredRecipient;
  readonly reply: Reply;
  readonly hop: string | undefined;
};

export type Original = { readonly envelope: Envelope; readonly body: Uint8Array | undefined };
export type Message = { readonly envelope: Envelope; readonly body: Buffer };

export type Reporter = {
  /** Undefined where no report is due or nobody is there to take it. */
  report(
    action: DsnAction,
    original: Original,
    reports: readonly Report[],
    table: ActiveTable | undefined,
  ): Message | undefined;
};

/** Larger messages come back as their header only. */
const returnedBytesMax = 1024 * 1024;

/** Of the original's headers in a report; whoever sent a stranger's mail may not be whom we write to. */
function headerBytesMax({ trusted }: Envelope): number {
  return trusted ? 64 * 1024 : 4 * 1024;
}

/** The whole message where a trusted sender asked for it and it has failed (RFC 3461 section 6.2), else its header. */
function isReturnedWhole(action: DsnAction, { ret, trusted, bytes }: Envelope): boolean {
  return action === "failed" && ret === "FULL" && trusted && bytes <= returnedBytesMax;
}

/** How many of the original's octets the reports of a round need at most. */
export function neededBytes(
  { ended, delayed }: Pick<Round, "ended" | "delayed">,
  envelope: Envelope,
): number {
  if (ended.length + delayed.length === 0 || envelope.sender === "") return 0;
  const isWhole = ended.some(({ action }) => isReturnedWhole(action, envelope));
  return isWhole ? envelope.bytes : Math.min(headerBytesMax(envelope), envelope.bytes);
}

/** All reports of a round: one for those that failed together, one for those that wait, and so on. */
export function reportsOf(
  { ended, delayed }: Pick<Round, "ended" | "delayed">,
  make: (action: DsnAction, list: readonly Report[]) => Message | undefined,
): Message[] {
  const of = (action: DsnAction): readonly Report[] =>
    action === "delayed"
      ? delayed
      : ended.filter((each) => each.action === action).map(({ report }) => report);
  return (["failed", "delayed", "relayed", "delivered"] as const).flatMap((action) => {
    const list = of(action);
    const made = list.length === 0 ? undefined : make(action, list);
    return made === undefined ? [] : [made];
  });
}

export type ReporterOptions = {
  readonly hostname: string;
  readonly postmaster: string;
  readonly outbound: Route;
  readonly nextId: () => string;
  readonly now: () => number;
  readonly unreported: (about: string, why: string) => void;
};

export function createReporter(options: ReporterOptions): Reporter {
  return {
    report(action, original, reports, table) {
      const { envelope } = original;
      if (envelope.sender === "") {
        if (action === "failed") options.unreported(envelope.id, "the sender is <>");
        return undefined;
      }
      const admission = admitReport(envelope, table, options.outbound);
      if (typeof admission === "string") {
        options.unreported(envelope.id, admission);
        return undefined;
      }
      const nowMs = options.now();
      const id = options.nextId();
      const body = Buffer.from(
        buildDsn({
          reportingHostname: options.hostname,
          from: options.postmaster,
          to: envelope.sender,
          now: new Date(nowMs),
          id,
          original: {
            sender: envelope.sender,
            arrivedAt: new Date(envelope.arrivedAtMs),
            ...(envelope.envid !== undefined && { envid: envelope.envid }),
            ...returnedOf(action, original),
          },
          recipients: reports.map(({ recipient, reply, hop }) => ({
            address: recipient.address,
            action,
            reply,
            ...(hop === undefined ? {} : { hop }),
            ...(recipient.orcpt !== undefined && { originalRecipient: recipient.orcpt }),
          })),
          boundary: `${id}-${nowMs.toString(36)}`,
        }),
      );
      return { envelope: reportEnvelope({ id, original: envelope, admission, body, nowMs }), body };
    },
  };
}

function returnedOf(
  action: DsnAction,
  { envelope, body }: Original,
): { readonly returned: "message" | "header"; readonly content: Uint8Array } {
  const content = body ?? new Uint8Array();
  return isReturnedWhole(action, envelope)
    ? { returned: "message", content }
    : { returned: "header", content: headerBlock(content, headerBytesMax(envelope)) };
}

type AdmittedReport = { readonly address: string; readonly key: string; readonly route: Route };

/**
 * Where a report to the sender goes; a text says why it goes nowhere. A stranger's sender address proves
 * nothing, so his mail makes no report for a route that he could not have used himself.
 */
function admitReport(
  { sender, trusted }: Pick<Envelope, "sender" | "trusted">,
  table: ActiveTable | undefined,
  outbound: Route,
): AdmittedReport | string {
  if (table === undefined) return "there is no route table";
  const recipient = parseAddress(sender, { utf8: true });
  if (recipient === undefined) return "the sender is not an address";
  const found = match(table.table, { recipient, sender: undefined });
  const address = formatAddress(recipient);
  if (found.kind === "outbound") return { address, key: outboundKey, route: outbound };
  if (found.kind === "unlisted-literal") return "no route names the sender's address literal";
  const { kind } = found.route.target;
  if (kind === "reject") return "the sender's domain has a reject route";
  if (kind === "discard") return "the sender's domain has a discard route";
  if (!trusted && found.route.access !== "Anyone") {
    return "a stranger named a sender whose route is for trusted clients";
  }
  return { address, key: found.key, route: found.route };
}

function reportEnvelope(options: {
  readonly id: string;
  readonly original: Envelope;
  readonly admission: AdmittedReport;
  readonly body: Buffer;
  readonly nowMs: number;
}): Envelope {
  const { id, original, admission, body, nowMs } = options;
  const { retry } = admission.route;
  return {
    id,
    session: original.session,
    client: "",
    trusted: true,
    sender: "",
    recipients: [
      {
        address: admission.address,
        key: admission.key,
        expiresAtMs: nowMs + retry.expireAfterMs,
        warnAtMs: nowMs + retry.expireAfterMs,
      },
    ],
    arrivedAtMs: nowMs,
    bytes: body.length,
    crc: checksum(body),
    eightBit: original.smtputf8,
    smtputf8: original.smtputf8,
  };
}
