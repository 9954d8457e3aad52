/**
 * What a policy's Secrets mean for a connection: TLS options and the password, if it may be shown at
 * all. Secure contexts are made once per version of their Secrets. Owns the rule that a password goes
 * only where the peer's certificate has been checked.
 */

import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { type ConnectionOptions, createSecureContext, type SecureContext } from "node:tls";
import type { CredentialRef, Tls } from "../../routing/route.ts";
import type { Credential, Credentials } from "./options.ts";
import type { Hop, Policy } from "./policy.ts";
import { deferred, type Trouble } from "./reply.ts";

export type Terms = {
  readonly startTls: "never" | "if-offered" | "always";
  readonly tls: ConnectionOptions;
  readonly login?: { readonly username: string; readonly password: string };
};

export type Terming = { readonly terms: Terms } | { readonly trouble: Trouble };

const contextsMax = 500;

export class Secrets {
  private readonly credentials: Credentials;
  private readonly contexts = new Map<string, SecureContext>();

  constructor(credentials: Credentials) {
    this.credentials = credentials;
  }

  termsFor(hop: Hop): Terming {
    const { tls, auth } = hop.policy;
    const verified = isVerified(hop.policy);
    if (auth !== undefined && !verified) {
      const text = "a password is shown only over TLS with a verified certificate";
      return { trouble: deferred("tls", "4.7.0", `${hop.name}: ${text}`) };
    }
    if (auth?.kind === "oauth2") {
      const text = "OAuth2 (auth.oauth2) is not served yet: use auth.secretRef";
      return { trouble: deferred("credentials", "4.3.5", text) };
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
    return auth === undefined ? { terms } : this.withLogin(terms, auth.credential);
  }

  private withLogin(terms: Terms, ref: CredentialRef): Terming {
    const credential = this.credentials.get(ref);
    if (credential === undefined) return { trouble: absent(ref) };
    const { username, password } = credential;
    if (username === undefined || username === "" || password === undefined || password === "") {
      const text = `Secret ${ref.secret} has no username or no password`;
      return { trouble: deferred("credentials", "4.3.5", text) };
    }
    return { terms: { ...terms, login: { username, password } } };
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
