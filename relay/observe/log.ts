/**
 * The relay's log: one JSON object a line, one function per event, so that this file is the list of what is
 * ever logged. Never a body, a subject or a credential. `id` joins all lines of a message.
 */
import { createHash } from "node:crypto";
import { errorText } from "../../kube/error-text.ts";
import type { Opened, StsEvent, TokenEvent } from "../delivery/options.ts";
import type { FailureSource, ProxyEvent } from "../listener/events.ts";
import type { LimitName } from "../listener/limits.ts";
import type { Client } from "../listener/reception.ts";
import type { Refusal } from "../listener/step.ts";
import type { ShownCertificate } from "../listener/tls-facts.ts";
import type { Attempted } from "../queue/events.ts";
import { resultOf } from "../queue/schedule.ts";
import type { Accepted, Authenticated, Refused } from "../reception/events.ts";
import type { Envelope } from "../spool/records.ts";

export type AddressStyle = "full" | "hashed" | "domain";
export type Level = "info" | "warn" | "error";

export type LogOptions = {
  readonly write: (text: string) => void;
  readonly now: () => number;
  readonly addresses: AddressStyle;
};

type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

export type Log = ReturnType<typeof createLog>;

export function createLog(options: LogOptions) {
  let time = "";
  let timeMs = Number.NaN;
  const line = (level: Level, event: string, fields: Fields): void => {
    const nowMs = options.now();
    if (nowMs !== timeMs) time = new Date(nowMs).toISOString();
    timeMs = nowMs;
    const rest = JSON.stringify(fields).slice(1);
    const comma = rest === "}" ? "" : ",";
    options.write(`{"time":"${time}","level":"${level}","event":"${event}"${comma}${rest}\n`);
  };
  const shown = (address: string): string => showAddress(address, options.addresses);
  return { ...processEvents(line), ...hopEvents(line), ...mailEvents(line, shown) };
}

type WriteLine = (level: Level, event: string, fields: Fields) => void;

/** The relay itself, its tables, its spool and its clients. */
function processEvents(line: WriteLine) {
  return {
    started: (fields: {
      readonly version: string;
      readonly listeners: string;
      readonly admin: number;
      readonly queued: number;
    }): void => line("info", "started", fields),
    /** It listens on IPv4 alone. */
    withoutIpv6: (fields: { readonly listener: string; readonly host: string }): void =>
      line("info", "no-ipv6", fields),
    stopping: (): void => line("info", "stopping", {}),
    stopped: (fields: { readonly queued: number }): void => line("info", "stopped", fields),
    table: (fields: {
      readonly digest: string;
      readonly keys: number;
      readonly ms: number;
    }): void => line("info", "table", fields),
    /** Something about a route file, the configuration or a certificate that a person must mend. */
    problem: (fields: { readonly where: string; readonly text: string }): void =>
      line("warn", "problem", fields),
    /** A certificate is in force; again whenever its files have changed. */
    certificate: (fields: {
      readonly file: string;
      readonly names: readonly string[];
      readonly notAfterMs: number;
    }): void =>
      line("info", "certificate", {
        file: fields.file,
        names: fields.names.join(" "),
        until: new Date(fields.notAfterMs).toISOString(),
      }),
    mended: (fields: { readonly where: string }): void => line("info", "mended", fields),
    unsaved: (error: unknown): void => line("error", "unsaved", { err: errorText(error) }),
    corrupt: (id: string): void => line("error", "corrupt", { id }),
    /** A message has gone to another relay, or come from one, with all that is known of it. */
    handedOver: (fields: { readonly id: string; readonly to: string }): void =>
      line("info", "handed-over", fields),
    takenOver: (fields: { readonly id: string; readonly from: string }): void =>
      line("info", "taken-over", fields),
    handover: (fields: { readonly given: number; readonly left: number }): void =>
      line(fields.left > 0 ? "warn" : "info", "handover", fields),
    held: (id: string, text: string): void => line("warn", "held", { id, text }),
    protocolRefused: (client: Client, reason: Refusal): void =>
      line("info", "protocol", { ...who(client), reason }),
    listenerFailed: (error: unknown, source: FailureSource, client: Client | undefined): void =>
      line("warn", "listener-failed", {
        source,
        session: client?.sessionId ?? "",
        err: errorText(error),
      }),
    /** A client showed a certificate, where they are asked for. */
    clientCertificate: (client: Client, { result, name, text }: ShownCertificate): void =>
      line("info", "client-certificate", { ...who(client), result, name, text }),
    limit: (client: Client, limit: LimitName): void =>
      line("warn", "limit", { ...who(client), limit }),
    /** A connection that is no session. A health check that connects and says nothing is no news. */
    proxyRefused: ({ listener, address, result, text }: ProxyEvent): void => {
      if (text === undefined || result === "closed") return;
      line("warn", "proxy-refused", { listener, client: address, reason: result, text });
    },
    crashed: (error: unknown): void => line("error", "crashed", { err: errorText(error) }),
  };
}

/** Next hops, and what we show to them. */
function hopEvents(line: WriteLine) {
  return {
    /** A next hop says that it gets too much: so many connections, so long between two messages for a while. */
    hostPressed: (fields: {
      readonly hop: string;
      readonly connections: number;
      readonly spacingMs: number;
      readonly code: number;
      readonly status: string;
      readonly text: string;
    }): void => line("info", "pressed", fields),
    hostRested: (fields: {
      readonly hop: string;
      readonly ms: number;
      readonly cause: string;
    }): void => line("warn", "rested", fields),
    /** Ready for messages; by what it is protected, and how we have logged in. */
    connected: ({ hop, address, tls, verified, mechanism, sts, ms }: Opened): void =>
      line("info", "connected", {
        ...{ hop, address, tls: tls ?? "none", verified, mechanism, sts },
        ms: Math.round(ms),
      }),
    sts: ({ domain, result, text }: StsEvent): void =>
      line(result === "fetched" ? "info" : "warn", "mta-sts", { domain, result, text }),
    token: ({ endpoint, secret, result, why, ms }: TokenEvent): void =>
      line(result === "fetched" ? "info" : "warn", "token", {
        ...{ endpoint, secret, result, text: why },
        ms: Math.round(ms),
      }),
    connectionFailed: (fields: {
      readonly hop: string;
      readonly cause: string;
      readonly code: number;
      readonly text: string;
    }): void => line("warn", "connection-failed", fields),
  };
}

/** What became of messages and of those who sent them. */
function mailEvents(line: WriteLine, shown: (address: string) => string) {
  return {
    /** Somebody has changed the queue. */
    ordered: (order: string, { id }: Envelope, addresses: readonly string[]): void =>
      line("warn", "ordered", { order, id, to: addresses.map(shown).join(" ") }),
    /** A wrong name is somebody's typing error, perhaps his password: it is not told. */
    authenticated: ({ client, credentials, verdict }: Authenticated): void => {
      const { mechanism } = credentials;
      const known = verdict.kind === "authenticated" ? verdict.login.identity.name : undefined;
      const text = verdict.kind === "unavailable" ? verdict.why : undefined;
      const level = verdict.kind === "unavailable" ? "warn" : "info";
      line(level, verdict.kind, { ...who(client), mechanism, user: known, text });
    },
    accepted: ({ envelope, client, helo, identity, ms }: Accepted): void =>
      line("info", "accepted", {
        id: envelope.id,
        ...who(client),
        user: identity?.name,
        helo,
        from: shown(envelope.sender),
        recipients: envelope.recipients.length,
        bytes: envelope.bytes,
        ms,
      }),
    refused: ({ client, reason, reply, sender, recipient }: Refused): void =>
      line("info", "refused", {
        ...who(client),
        from: sender === undefined ? undefined : shown(sender),
        to: recipient === undefined ? undefined : shown(recipient),
        reason,
        code: reply.code,
        status: reply.status,
        text: reply.text,
      }),
    normalised: (client: Client, fault: string): void =>
      line("info", "normalised", { ...who(client), fault }),
    attempted: ({
      envelope,
      recipient,
      route,
      outcome,
      step,
      attempt,
      ms,
      nowMs,
    }: Attempted): void =>
      line("info", resultOf(step), {
        id: envelope.id,
        session: envelope.session,
        from: shown(envelope.sender),
        to: shown(recipient.address),
        key: recipient.key,
        route,
        hop: outcome.hop,
        attempt,
        code: outcome.reply.code,
        status: outcome.reply.status,
        text: outcome.reply.text,
        cause: outcome.kind === "deferred" ? outcome.cause : undefined,
        ms,
        ageMs: nowMs - envelope.arrivedAtMs,
      }),
    reported: (dsn: Envelope, about: string): void =>
      line("info", "reported", { id: dsn.id, about, to: shown(dsn.recipients[0]?.address ?? "") }),
    unreported: (about: string, why: string): void =>
      line("warn", "unreported", { id: about, why }),
  };
}

/** A session's fields; `balancer` is there at a PROXY twin. */
function who({ sessionId, address, balancer }: Client): Fields {
  return { session: sessionId, client: address, balancer };
}

function showAddress(address: string, style: AddressStyle): string {
  if (style === "full" || address === "") return address;
  const at = address.lastIndexOf("@");
  const domain = at < 0 ? "" : address.slice(at + 1);
  if (style === "domain") return `@${domain}`;
  return `${createHash("sha256").update(address.toLowerCase()).digest("hex").slice(0, 16)}@${domain}`;
}
