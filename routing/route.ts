/**
 * What a route is, once compiled: the part of a MailRoute that a relay needs to decide and to deliver.
 * Shared by compile (which makes them), the wire format (which carries them) and match (which finds
 * them). Only types and one default; durations are milliseconds, and everything in here has been parsed.
 */
import type { Domain } from "./domain.ts";

/** "namespace/name" of the MailRoute. */
export type RouteId = string & { readonly brand: "RouteId" };

/**
 * `host` is a canonical domain name, an IP address without brackets, or the name of SRV records
 * (`_smtp._tcp.corp.example`), which name the ports too: `port` is 0 then.
 */
export type Host = {
  readonly host: string;
  readonly port: number;
  readonly priority: number;
  readonly weight: number;
};

export type Target =
  | { readonly kind: "hosts"; readonly hosts: readonly Host[] }
  | { readonly kind: "inbound" }
  | { readonly kind: "mx"; readonly domain?: Domain }
  | {
      readonly kind: "reject";
      readonly code: number;
      readonly status: string;
      readonly message: string;
    }
  | { readonly kind: "discard" };

/** Names a Secret's content at one moment: a relay that holds another version defers. */
export type CredentialRef = { readonly secret: string; readonly version: string };

/** How mail of a domain's authors is signed (DKIM, RFC 6376). */
export type Signer = {
  /** The signature's d=. */
  readonly domain: string;
  readonly selector: string;
  /** Absent: `unavailable` says why. */
  readonly key?: CredentialRef;
  /** Why nothing can be signed now: that mail is deferred (4.3.5), and never goes unsigned. */
  readonly unavailable?: string;
};

export type TlsMode = "Disabled" | "Opportunistic" | "Required" | "Verified";

export type Tls = {
  readonly mode: TlsMode;
  readonly serverName?: string;
  readonly ca?: CredentialRef;
  readonly clientCertificate?: CredentialRef;
};

export type Auth =
  | { readonly kind: "basic"; readonly credential: CredentialRef }
  | {
      readonly kind: "oauth2";
      readonly tokenURL: string;
      readonly clientID: string;
      readonly scope?: string;
      readonly credential: CredentialRef;
    };

export type Retry = {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly expireAfterMs: number;
  readonly delayWarningAfterMs: number;
};

export const retryDefaults: Retry = {
  initialMs: 60_000,
  maxMs: 3_600_000,
  expireAfterMs: 5 * 86_400_000,
  delayWarningAfterMs: 4 * 3_600_000,
};

/** Of the whole installation; a relay takes its share. */
export type DeliveryLimits = {
  readonly maxConnections?: number;
  readonly maxMessagesPerConnection?: number;
  readonly maxMessagesPerSecond?: number;
};

export type Route = {
  readonly id: RouteId;
  readonly generation: number;
  readonly access: "Trusted" | "Anyone";
  readonly target: Target;
  readonly protocol: "SMTP" | "LMTP";
  readonly heloName?: string;
  readonly tls: Tls;
  readonly auth?: Auth;
  /** Sign (DKIM) also what does not go out by MX. */
  readonly sign?: true;
  readonly delivery: DeliveryLimits;
  readonly retry: Retry;
  /**
   * Which addresses a name in `target` may turn out to have, beyond the public ones: "anywhere" for the
   * installation's own namespace, else the CIDR blocks that a grant names. Absent: none, so a relay
   * must refuse loopback, link-local and denied networks after it has resolved the name.
   */
  readonly reach?: "anywhere" | readonly string[];
  /** Why nothing can be sent now (Secret missing, host refused): the keys stay, mail defers (4.3.5). */
  readonly unavailable?: string;
  /** The resource is gone but another one waits for its keys: kept until then (epoch ms). */
  readonly heldUntilMs?: number;
};
