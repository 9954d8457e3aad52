/** What became of a recipient at a next hop, and the reply that a server gives: values, never exceptions. Pure. */

/** An SMTP reply: `code` (RFC 5321 section 4.2), `status` (RFC 3463, "5.1.2"), text without either. */
export type Reply = { readonly code: number; readonly status: string; readonly text: string };

export type Outcome =
  | {
      readonly kind: "delivered";
      readonly reply: Reply;
      readonly hop: string;
      /** The next hop tells the sender what becomes of it (RFC 3461 section 5.2.1). */
      readonly dsn?: true;
      /** By LMTP (RFC 2033): a mail store has it. */
      readonly stored?: true;
    }
  /** Try again later. */
  | {
      readonly kind: "deferred";
      readonly cause: DeferCause;
      readonly reply: Reply;
      readonly hop?: string;
      /** No host took a connection to where it said anything: that holds for all mail to the same hosts. */
      readonly isUnmet?: true;
    }
  | { readonly kind: "failed"; readonly reply: Reply; readonly hop?: string };

/** Every reason for which a recipient waits; the label `cause` of the metric `mailroute_recipients_total`. */
export type DeferCause =
  | "connect"
  | "tls"
  | "timeout"
  | "protocol"
  | "reply"
  | "auth"
  | "dns"
  | "credentials"
  | "unavailable"
  | "withdrawn"
  | "stale"
  | "local"
  | "shutdown";

/** "waits": its host has not taken a connection, and nothing is done with the message itself. */
export type Phase = "waits" | "works";

export function assertNever(value: never): never {
  throw new TypeError(`unreachable: ${JSON.stringify(value)}`);
}
