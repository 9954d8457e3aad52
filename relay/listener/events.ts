/** What a listener tells of itself, for log and metrics. Everything is told after the fact. */
import type { LimitName } from "./limits.ts";
import type { ProxyResult } from "./proxy-reader.ts";
import type { Client } from "./reception.ts";
import type { Refusal } from "./step.ts";
import type { ShownCertificate } from "./tls-facts.ts";

/** Where an error came up that the listener survived; "session" is a defect of its own. */
export type FailureSource = "reception" | "socket" | "tls" | "listener" | "session";

/** A connection at a PROXY twin, before it is a client's. */
export type ProxyEvent = {
  readonly listener: string;
  /** Who connected: a balancer, or a stranger. */
  readonly address: string;
  readonly result: ProxyResult;
  /** What is wrong. */
  readonly text?: string;
};

/** Called synchronously, in the hot path: implementations must be quick and must not throw. */
export interface ListenerEvents {
  /** A connection was let in by limits and reception. */
  opened(client: Client): void;
  /** Its socket is closed; told exactly once for each `opened`. */
  closed(client: Client, session: { readonly ms: number; readonly messages: number }): void;
  /** The reception let a connection not in. */
  turnedAway(client: Client): void;
  /** The protocol side refused a command or a message. */
  refused(client: Client, reason: Refusal): void;
  /** A bound was met: the client was refused or cut off. */
  limit(client: Client, limit: LimitName): void;
  /** A handshake is done in which the client showed a certificate that it was asked for. */
  clientCertificate(client: Client, shown: ShownCertificate): void;
  /** What came of a connection at a PROXY twin; the others are no session and are told nowhere else. */
  proxy(event: ProxyEvent): void;
  /** A hook threw, a handshake failed, a socket broke; `client` where there is one. */
  failed(error: Error, source: FailureSource, client?: Client): void;
}
