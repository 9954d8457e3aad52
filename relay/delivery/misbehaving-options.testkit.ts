/** What a next hop of misbehaving.testkit.ts is like before any address says anything. */
export type MisbehavingOptions = {
  readonly port?: number;
  /** Default: 127.0.0.1. */
  readonly host?: string;
  readonly protocol?: "SMTP" | "LMTP";
  /** EHLO keywords; STARTTLS and AUTH come with `tls` and `logins`. */
  readonly extensions?: readonly string[];
  /** At connect, at EHLO or LHLO, at STARTTLS, at AUTH, at RSET: like a local part, "perm-554-5.7.1". */
  readonly banner?: string;
  readonly ehlo?: string;
  /** At HELO; default: as at EHLO. */
  readonly helo?: string;
  readonly startTls?: string;
  readonly auth?: string;
  readonly rset?: string;
  readonly quit?: string;
  /** At MAIL or RCPT where the line holds the word: `{ "BODY=8BITMIME": "perm-555-5.5.4" }`. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Addresses mean nothing here. */
  readonly polite?: true;
  /** Forgets what has come in together with a command that it answers. */
  readonly forgetful?: true;
  readonly tls?: { readonly cert: string; readonly key: string; readonly clientCa?: string };
  /** After "220 go ahead": talk nonsense, say nothing at all, or hang up. */
  readonly handshake?: "garbage" | "hang" | "drop";
  /** "user:password". */
  readonly logins?: readonly string[];
  /** "user token" each: AUTH XOAUTH2. */
  readonly bearers?: ReadonlySet<string>;
  /** false: AUTH LOGIN only. */
  readonly plain?: boolean;
};
