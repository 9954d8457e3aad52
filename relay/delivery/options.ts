/**
 * What delivery is given: its limits with their defaults, the credentials it may ask for, and the
 * callbacks that log and metrics hang on. Types and numbers only.
 */
import type { Socket } from "node:net";
import type { CredentialRef, Host, RouteId } from "../../routing/route.ts";
import type { DeferCause, Outcome, Reply } from "../outcome.ts";
import type { Mechanism } from "./login.ts";
import type { StsOptions } from "./mta-sts/policies.ts";
import type { NameResolver } from "./resolver.ts";

/** A Secret's content at one version. PEM text for `ca`, `cert` and `key`. */
export type Credential = {
  readonly username?: string;
  readonly password?: string;
  /** Of an OAuth2 client. */
  readonly clientSecret?: string;
  /** PEM. */
  readonly dkimKey?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
};

/** `undefined`: this version is not here (yet), so whoever needs it defers. */
export type Credentials = { get(ref: CredentialRef): Credential | undefined };

export type HopLimits = {
  /** Connections to one host under one policy; `route.delivery.maxConnections` overrides. */
  readonly connectionsPerHopMax: number;
  readonly connectionsMax: number;
  readonly messagesPerConnectionMax: number;
  readonly idleMsMax: number;
  readonly addressesPerHostMax: number;
  readonly hostsPerAttemptMax: number;
  readonly replyBytesMax: number;
  readonly connectMsMax: number;
  readonly tlsMsMax: number;
  /** EHLO, STARTTLS and each step of AUTH. */
  readonly helloMsMax: number;
  readonly greetingMsMax: number;
  readonly mailMsMax: number;
  readonly rcptMsMax: number;
  readonly dataMsMax: number;
  readonly dataBlockMsMax: number;
  readonly dataDoneMsMax: number;
  /** For an access token. */
  readonly tokenMsMax: number;
  readonly restMsMin: number;
  readonly restMsMax: number;
  /** How often the one timer looks for idle and overdue connections. */
  readonly sweepMs: number;
};

const minute = 60_000;

/** Times by RFC 5321 section 4.5.3.2 where it names one. */
export const defaultHopLimits: HopLimits = {
  connectionsPerHopMax: 20,
  connectionsMax: 1000,
  messagesPerConnectionMax: 100,
  idleMsMax: 30_000,
  addressesPerHostMax: 6,
  hostsPerAttemptMax: 10,
  replyBytesMax: 65_536,
  connectMsMax: 30_000,
  tlsMsMax: minute,
  helloMsMax: 5 * minute,
  greetingMsMax: 5 * minute,
  mailMsMax: 5 * minute,
  rcptMsMax: 5 * minute,
  dataMsMax: 2 * minute,
  dataBlockMsMax: 3 * minute,
  dataDoneMsMax: 10 * minute,
  tokenMsMax: 10_000,
  restMsMin: 5_000,
  restMsMax: 5 * minute,
  sweepMs: 1_000,
};

/** As long as a connection that is in order may be without a byte, at whatever stage, or kept. */
export function longestSilenceMs(limits: HopLimits): number {
  const { greetingMsMax, helloMsMax, mailMsMax, rcptMsMax } = limits;
  const { dataMsMax, dataBlockMsMax, dataDoneMsMax, idleMsMax } = limits;
  const commands = [greetingMsMax, helloMsMax, mailMsMax, rcptMsMax];
  return Math.max(...commands, dataMsMax, dataBlockMsMax, dataDoneMsMax, idleMsMax);
}
export type TokenEvent = {
  readonly endpoint: string;
  /** "namespace/name". */
  readonly secret: string;
  readonly result: "fetched" | "refused" | "failed";
  /** Of a refusal or a failure; holds no credential. */
  readonly why?: string;
  readonly ms: number;
};

export type StsEvent = {
  readonly domain: string;
  /** A policy was fetched or not; some mail hosts are not named in it. */
  readonly result: "fetched" | "failed" | "unlisted";
  readonly text: string;
};

/** A connection that is ready for messages, and by what it is protected. */
export type Opened = {
  readonly hop: string;
  readonly address: string;
  /** The version; absent: clear text. */
  readonly tls?: string;
  /** The certificate is the host's, whether or not that was asked for. */
  readonly verified: boolean;
  /** How we have logged in. */
  readonly mechanism?: Mechanism;
  /** The mode of the MTA-STS policy under which it was opened. */
  readonly sts?: "enforce" | "testing";
  readonly ms: number;
};

/** `hop` is always "host:port". */
export type DeliveryEvents = {
  connectionOpened?(event: Opened): void;
  connectionClosed?(event: { hop: string; messages: number }): void;
  connectionFailed?(event: { hop: string; cause: DeferCause | "refused"; reply: Reply }): void;
  hostRested?(event: { hop: string; restMs: number; cause: DeferCause }): void;
  /** It said that it gets too much; so much it is given now. */
  hostPressed?(event: {
    hop: string;
    connectionsMax: number;
    spacingMs: number;
    reply: Reply;
  }): void;
  /** A token endpoint ("host:port") was asked for the client whose secret is in the Secret `secret`. */
  token?(event: TokenEvent): void;
  /** About the MTA-STS policy of a recipients' domain. */
  sts?(event: StsEvent): void;
  /** A message was signed (DKIM) for its way out, or could not be and waits. */
  signed?(event: { domain: string; result: "signed" | "unavailable" }): void;
  /** One transaction tried at one host; `outcomes` in the order of `recipients`. */
  attempt?(event: {
    id: string;
    route: RouteId;
    hop: string;
    reused: boolean;
    recipients: readonly string[];
    outcomes: readonly Outcome[];
    ms: number;
  }): void;
  /** A fault of this program: the recipients were deferred with the cause "local". */
  bug?(error: unknown): void;
};

export type DeliveryOptions = {
  /** Said in EHLO where the route names none; also the name that is ours among MX hosts. */
  readonly hostname: string;
  /** Where the target `inbound` goes. */
  readonly inbound?: { readonly hosts: readonly Host[]; readonly protocol: "SMTP" | "LMTP" };
  readonly resolver: NameResolver;
  /** The port for MX hosts: 25. */
  readonly outboundPort?: number;
  /** CIDR networks that an MX host may not be in; [] turns it off. */
  readonly mxDeniedNetworks?: readonly string[];
  /** Absent: policies of MTA-STS are not looked for. */
  readonly sts?: StsOptions;
  /** CIDR networks, beyond loopback and link-local, that only a route whose `reach` says so may reach. */
  readonly deniedNetworks?: readonly string[];
  /** Our own listeners: a host that turns out to be one of them is a loop (5.4.6). */
  readonly ownAddresses?: () => readonly { readonly address: string; readonly port: number }[];
  readonly credentials: Credentials;
  /** How many relays share a route's `maxConnections`, itself included: 1. */
  readonly relays?: () => number;
  readonly limits?: Partial<HopLimits>;
  readonly events?: DeliveryEvents;
  /** Milliseconds, for durations, deadlines and rests. */
  readonly now?: () => number;
  readonly random?: () => number;
  /** Opens every connection instead of name resolution and `net.connect`; MX look-ups are skipped. */
  readonly dial?: (host: string, port: number) => Socket;
};
