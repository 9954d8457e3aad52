/**
 * Which messages and recipients somebody means: pure. Read from a query string, whose names are those of the
 * command line's options; what it does not understand it says, and picks nothing.
 */
import { formatAddress, parseAddress } from "../../routing/address.ts";
import { parseDomain } from "../../routing/domain.ts";
import type { Entry } from "./entry.ts";

export type Selection = {
  readonly ids: ReadonlySet<string> | undefined;
  /** As formatAddress writes it, or "" for the null sender. */
  readonly sender: string | undefined;
  readonly recipient: string | undefined;
  readonly domain: string | undefined;
  /** Id of the route that the recipient goes by now; "outbound" where none names it. */
  readonly route: string | undefined;
  readonly heldOnly: boolean;
  readonly olderThanMs: number | undefined;
};

export type ParsedSelection =
  | { readonly ok: true; readonly selection: Selection }
  | { readonly ok: false; readonly complaint: string };

/** Names that other readers of the query string use. */
const others: ReadonlySet<string> = new Set(["limit", "after", "why", "header", "dry-run"]);
const idsMax = 1000;

/** `mustNarrow`: an order that names nothing must say `all`. */
export function parseSelection(
  query: URLSearchParams,
  { mustNarrow }: { readonly mustNarrow: boolean },
): ParsedSelection {
  const selection: { -readonly [Name in keyof Selection]: Selection[Name] } = { ...everything };
  const no = (complaint: string): ParsedSelection => ({ ok: false, complaint });
  const ids = query.getAll("id");
  if (ids.length > idsMax) return no(`${idsMax} ids at once at most`);
  if (ids.length > 0) selection.ids = new Set(ids);
  for (const [name, text] of query) {
    if (name === "id" || name === "all" || others.has(name)) continue;
    if (name === "sender" || name === "recipient") {
      const address = addressOf(text, name);
      if (address === undefined) return no(`${name} ${text}: is not a mail address`);
      selection[name] = address;
    } else if (name === "domain") {
      const domain = parseDomain(text);
      if (domain === undefined) return no(`domain ${text}: is not a domain`);
      selection.domain = domain;
    } else if (name === "route") {
      selection.route = text;
    } else if (name === "held") {
      selection.heldOnly = true;
    } else if (name === "older-than") {
      const ms = durationMs(text);
      if (ms === undefined) return no(`older-than ${text}: write it like 90s, 15m, 2h or 3d`);
      selection.olderThanMs = ms;
    } else return no(`${name}: there is no such filter`);
  }
  const isNarrow = Object.values(selection).some((each) => each !== undefined && each !== false);
  if (mustNarrow && !isNarrow && !query.has("all"))
    return no("name messages by id or filter, or say all");
  return { ok: true, selection };
}

const everything: Selection = {
  ids: undefined,
  sender: undefined,
  recipient: undefined,
  domain: undefined,
  route: undefined,
  heldOnly: false,
  olderThanMs: undefined,
};

/** Whether only some recipients of a message may be meant. */
export function isOfRecipients({ recipient, domain, route }: Selection): boolean {
  return recipient !== undefined || domain !== undefined || route !== undefined;
}

/** Whether recipients of the message may be meant. */
export function isMessageMeant(
  { envelope, held }: Pick<Entry, "envelope" | "held">,
  { ids, sender, olderThanMs, heldOnly }: Selection,
  nowMs: number,
): boolean {
  if (ids !== undefined && !ids.has(envelope.id)) return false;
  if (sender !== undefined && sender !== envelope.sender) return false;
  if (heldOnly && held === undefined) return false;
  return olderThanMs === undefined || nowMs - envelope.arrivedAtMs >= olderThanMs;
}

/** Whether one of its recipients is meant, if the message is; `routeNow`: by which it goes. Nobody finished is. */
export function isRecipientMeant(
  { envelope, pending }: Pick<Entry, "envelope" | "pending">,
  index: number,
  { recipient, domain, route }: Selection,
  routeNow: (index: number) => string,
): boolean {
  if ((pending[index] ?? null) === null) return false;
  const { address } = envelope.recipients[index] ?? { address: "" };
  if (recipient !== undefined && recipient !== address) return false;
  if (domain !== undefined && domain !== parseAddress(address, { utf8: true })?.domain)
    return false;
  return route === undefined || route === routeNow(index);
}

function addressOf(text: string, name: "sender" | "recipient"): string | undefined {
  if (name === "sender" && (text === "" || text === "<>")) return "";
  const parsed = parseAddress(text, { utf8: true });
  return parsed === undefined ? undefined : formatAddress(parsed);
}

const unitMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

function durationMs(text: string): number | undefined {
  const [, count = "", unit = ""] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const each = unitMs[unit];
  return each === undefined ? undefined : Number(count) * each;
}
