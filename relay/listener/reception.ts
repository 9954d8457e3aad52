/**
 * What the listener asks of the rest of the relay. The listener speaks SMTP; whoever implements
 * `Reception` decides who may send, where a recipient goes, and keeps the message. Nothing here
 * knows sockets, policy, routes or the spool.
 */
import type { AuthVerdict, Credentials, Identity, Login } from "../auth/identity.ts";
import type { MessageDsn, RecipientDsn } from "../dsn-request.ts";
import type { Reply } from "../outcome.ts";

/** The far end of one connection, fixed for its life. */
export type Client = {
  /** Short random id; joins all log lines of a session. */
  readonly sessionId: string;
  /**
   * IP address; IPv4-mapped addresses are already unmapped. At a PROXY twin it is what the header says, or
   * the balancer's where the connection is the balancer's own.
   */
  readonly address: string;
  readonly port: number;
  /** Name of the listener that took the connection, as configured. */
  readonly listener: string;
  readonly localAddress: string;
  readonly localPort: number;
  /** Address of the balancer that connected, at a PROXY twin. */
  readonly balancer?: string;
};

/** What the client has said of itself since the last HELO, EHLO or STARTTLS. */
export type Greeting = {
  /** The argument of HELO or EHLO as written: printable ASCII without spaces, otherwise unchecked. */
  readonly helo: string;
  /** EHLO rather than HELO. */
  readonly esmtp: boolean;
  readonly tls?: {
    readonly version: string;
    readonly cipher: string;
    /** The listed name in a client certificate that verifies. */
    readonly clientName?: string;
  };
  /** Who authenticated, where anybody did, as of the last MAIL. */
  readonly identity?: Identity;
};

/** A MAIL command whose syntax and parameters are sound (RFC 5321 section 4.1.1.2). */
export type MailCommand = {
  /** The text between < and >: "" for the null sender, a source route kept as written. */
  readonly path: string;
  /** Parameters by upper-case keyword; `undefined` for one without a value. */
  readonly parameters: ReadonlyMap<string, string | undefined>;
  readonly smtputf8: boolean;
  /** What its sender asks to be told (RFC 3461). */
  readonly dsn: MessageDsn;
  /** BODY=8BITMIME was given. */
  readonly eightBit: boolean;
  /** The SIZE that the client declared, in bytes; never over the listener's limit. */
  readonly size?: number;
};

/** A RCPT command whose syntax and parameters are sound (RFC 5321 section 4.1.1.3). */
export type RcptCommand = {
  /** The text between < and >, never empty, a source route kept as written. */
  readonly path: string;
  /** Parameters by upper-case keyword; `undefined` for one without a value. */
  readonly parameters: ReadonlyMap<string, string | undefined>;
  readonly dsn: RecipientDsn;
};

/**
 * The body as received, for whoever takes it alone: he may free the chunks. `faults` says what is wrong with it. Of
 * DATA the stuffed dots are gone, and the last line ends with CRLF; by BDAT the last line may have no end.
 */
export type Body = {
  readonly chunks: readonly Buffer[];
  /** The sum of the chunks' lengths. */
  readonly bytes: number;
  readonly faults: {
    /** CRs not followed by LF. */
    readonly bareCr: number;
    /** LFs not preceded by CR. */
    readonly bareLf: number;
    readonly nul: number;
    /** Octets of the longest line without its CRLF; a bare LF ends a line too. */
    readonly longestLine: number;
  };
};

/** Who takes the mail. One per listener or shared by several; its methods must not block. */
export interface Reception {
  /**
   * A connection was made. A refusal (554 or 421) is sent instead of the greeting and closes the
   * connection; `undefined` lets it in.
   */
  connect(client: Client): Reply | undefined;
  /** Whether credentials are right. Left out: AUTH is not offered. A rejection is answered 454 4.7.0. */
  readonly authenticate?:
    | ((client: Client, credentials: Credentials) => Promise<AuthVerdict>)
    | undefined;
  /**
   * Who a login is now: asked before each MAIL of who has authenticated, and never within a transaction. A reply
   * (421) says that it holds no more, and ends the session. Left out: it holds. A rejection is answered 451 4.3.0.
   */
  identify?(client: Client, login: Login): Identity | Reply | Promise<Identity | Reply>;
  /** Begins a transaction, or refuses the sender with a reply. A throw is answered 451 4.3.0. */
  mail(client: Client, greeting: Greeting, command: MailCommand): Transaction | Reply;
  /** The connection of a client that `connect` let in is gone; called once. */
  closed(client: Client): void;
}

/**
 * Whether the client waits for the answer, or has sent more already. Behind DATA nothing may come before 354
 * (RFC 2920 section 3.1): who cannot wait does not read replies, and has perhaps been made to send what he sends.
 */
export type ClientInput = "waiting" | "early";

/** One mail transaction: MAIL, RCPTs, DATA or BDATs. Ends with `message` or with `abort`, never with both. */
export interface Transaction {
  /** The answer to MAIL (250 2.1.0). */
  accepted: Reply;
  /** Decides one recipient; a 25x reply counts as accepted. A throw is answered 451 4.3.0. */
  rcpt(command: RcptCommand): Reply | Promise<Reply>;
  /** Asked at DATA or the first BDAT when a recipient was accepted: `undefined` goes on with 354; a refusal ends the transaction. */
  data(client: { readonly input: ClientInput }): Reply | undefined;
  /**
   * Takes the message, and its chunks: nobody looks at them any more. The client is answered when this resolves: 250
   * only after the spool has synced. A rejection is answered 451 4.3.0. May outlive the connection.
   */
  message(body: Body): Promise<Reply>;
  /** RSET, a new EHLO, disconnect, an unfit body: called once unless `message` was called. */
  abort(): void;
}
