/**
 * What a policy's Secrets mean for a connection: TLS options and the password, if it may be shown at
 * all. Secure contexts are made once per version of their Secrets. Owns the rule that a password goes
 * only where the peer's certificate has been checked.
 */

import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { type ConnectionOptions, createSecureContext, type SecureContext } from "node:tls";
import type { Auth, CredentialRef, Tls } from "../../routing/route.ts";
import { type Login, passwordLogin, tokenLogin } from "./login.ts";
import type { Tokens, TokenWish } from "./oauth2/tokens.ts";
import type { Credential, Credentials } from "./options.ts";
import type { Hop, Policy } from "./policy.ts";
import { deferred, type Trouble } from "./reply.ts";

export type Terms = {
  readonly startTls: "never" | "if-offered" | "always";
  readonly tls: ConnectionOptions;
  readonly login?: Login;
};

export type Terming = { readonly terms: Terms } | { readonly trouble: Trouble };

type OAuth2 = Extract<Auth, { kind: "oauth2" }>;

const contextsMax = 500;

export class Secrets {
  private readonly credentials: Credentials;
  private readonly tokens: Tokens;
  private readonly contexts = new Map<string, SecureContext>();

  constructor(options: { readonly credentials: Credentials; readonly tokens: Tokens }) {
    this.credentials = options.credentials;
    this.tokens = options.tokens;
  }

  /** May fetch an access token, which takes seconds at most. */
  async termsFor(hop: Hop, signal: AbortSignal): Promise<Terming> {
    const { tls, auth } = hop.policy;
    const verified = isVerified(hop.policy);
    if (auth !== undefined && !verified) {
      const text = "a password is shown only over TLS with a verified certificate";
      return { trouble: deferred("tls", "4.7.0", `${hop.name}: ${text}`) };
    }
    const context = this.contextFor(hop.policy);
    if ("trouble" in context) return context;
    const serverName = tls.serverName ?? hop.host;
    const terms: Terms = {
      startTls: startTlsFor(hop.policy),
      tls: {
        secureContext: context.secureContext,
        rejectUnauthorized: verified,
        ...(isIP(serverName) === 0 ? { servername: serverName } : { host: serverName }),
      },
    };
    if (auth === undefined) return { terms };
    const login = await this.loginFor(hop, auth, signal);
    return "trouble" in login ? login : { terms: { ...terms, login } };
  }

  /** After a next hop has refused the login of `terms`: with a new access token, if one is to be had. */
  async renewed(hop: Hop, terms: Terms, signal: AbortSignal): Promise<Terms | undefined> {
    const { auth } = hop.policy;
    if (auth?.kind !== "oauth2" || terms.login === undefined) return undefined;
    const wish = this.wishOf(hop, auth, signal);
    if ("trouble" in wish) return undefined;
    const token = await this.tokens.replace(wish, terms.login.secret);
    if (token === undefined) return undefined;
    return { ...terms, login: tokenLogin(terms.login.username, token) };
  }

  private async loginFor(
    hop: Hop,
    auth: Auth,
    signal: AbortSignal,
  ): Promise<Login | { readonly trouble: Trouble }> {
    if (auth.kind === "oauth2") {
      const wish = this.wishOf(hop, auth, signal);
      if ("trouble" in wish) return wish;
      const token = await this.tokens.get(wish);
      if (token !== undefined) return tokenLogin(wish.username, token);
      // Why is in the log and among the problems: what an endpoint says of us is not for senders' reports.
      const text = `there is no access token for ${hop.name} now (auth.oauth2)`;
      return { trouble: deferred("auth", "4.7.0", text) };
    }
    const { username, password } = this.credentials.get(auth.credential) ?? {};
    if (username && password) return passwordLogin(username, password);
    return { trouble: this.lacking(auth.credential, "no username or no password") };
  }

  private wishOf(
    { policy }: Hop,
    auth: OAuth2,
    signal: AbortSignal,
  ): (TokenWish & { readonly username: string }) | { readonly trouble: Trouble } {
    const { username, clientSecret, ca } = this.credentials.get(auth.credential) ?? {};
    // XOAUTH2 parts its fields by controls.
    if (username && clientSecret && !/\p{Cc}/u.test(username)) {
      return { auth, username, clientSecret, ca, reach: policy.tokenReach, signal };
    }
    return { trouble: this.lacking(auth.credential, "no username or no client-secret") };
  }

  private lacking(ref: CredentialRef, what: string): Trouble {
    if (this.credentials.get(ref) === undefined) return absent(ref);
    return deferred("credentials", "4.3.5", `Secret ${ref.secret} has ${what}`);
  }

  private contextFor(policy: Policy): { secureContext: SecureContext } | { trouble: Trouble } {
    const refs = [policy.tls.ca, policy.tls.clientCertificate];
    const key = refs
      .map((ref) => (ref === undefined ? "" : `${ref.secret}@${ref.version}`))
      .join("|");
    const known = this.contexts.get(key);
    if (known !== undefined) return { secureContext: known };
    const found: (Credential | undefined)[] = [];
    for (const ref of refs) {
      const credential = ref === undefined ? {} : this.credentials.get(ref);
      if (credential === undefined && ref !== undefined) return { trouble: absent(ref) };
      found.push(credential);
    }
    try {
      const secureContext = createSecureContext(pemOf(policy.tls, found[0], found[1]));
      const oldest = this.contexts.keys().next();
      if (this.contexts.size >= contextsMax && !oldest.done) this.contexts.delete(oldest.value);
      this.contexts.set(key, secureContext);
      return { secureContext };
    } catch (error) {
      const names = refs.flatMap((ref) => (ref === undefined ? [] : [ref.secret])).join(", ");
      const text = `the certificates in Secret ${names} cannot be used: ${String(error)}`;
      return { trouble: deferred("credentials", "4.3.5", text) };
    }
  }
}

/** Throws where something named is missing: without its CA a route must not fall back on the system's. */
function pemOf(tls: Tls, ca: Credential | undefined, client: Credential | undefined) {
  if (tls.ca !== undefined) new X509Certificate(ca?.ca ?? "");
  if (tls.clientCertificate !== undefined && !(client?.cert && client.key)) {
    throw new TypeError("no tls.crt or no tls.key");
  }
  return {
    ...(ca?.ca === undefined ? {} : { ca: ca.ca }),
    ...(client?.cert === undefined ? {} : { cert: client.cert }),
    ...(client?.key === undefined ? {} : { key: client.key }),
  };
}

function isVerified({ tls }: Policy): boolean {
  return tls.mode === "Verified" || (tls.mode === "Required" && tls.ca !== undefined);
}

function startTlsFor({ tls }: Policy): Terms["startTls"] {
  if (tls.mode === "Disabled") return "never";
  return tls.mode === "Opportunistic" ? "if-offered" : "always";
}

function absent(ref: CredentialRef): Trouble {
  return deferred(
    "credentials",
    "4.3.5",
    `version ${ref.version} of Secret ${ref.secret} is not here`,
  );
}
