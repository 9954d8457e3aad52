/**
 * Certificates as the listener takes them: a getter asked at each handshake, so that a swapped file
 * counts from the next connection on. smtp-server's built-in key never comes into it.
 */
import { constants } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";

/** Where the listener gets its certificate, for the name that the client asked for, if any. */
export type Certificates = {
  /**
   * Asked up to three times per handshake: returns a context made before. May throw while there is
   * none to use: STARTTLS is then answered 454 4.7.0.
   */
  context(servername?: string): SecureContext;
};

export type MailPem = {
  /** The chain included. */
  readonly cert: string;
  readonly key: string;
  /** Whom clients' certificates must be signed by, where they are asked for. */
  readonly clientCa?: string | undefined;
};

/** Only suites that are of TLS 1.2 or 1.3 themselves; those with forward secrecy come first. */
const ciphers = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE+AESGCM",
  "ECDHE+CHACHA20",
  "DHE+AESGCM",
  "TLSv1.2+HIGH",
  "!aNULL",
  "!PSK",
  "!SRP",
  "!ARIA",
  "!CAMELLIA",
  "!AESCCM",
].join(":");

/** A context for receiving mail: TLS 1.2 and up, no renegotiation. Throws where the PEM is of no use. */
export function mailContext({ cert, key, clientCa }: MailPem): SecureContext {
  return createSecureContext({
    cert,
    key,
    ciphers,
    minVersion: "TLSv1.2",
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    // Without one, OpenSSL ends the handshake of a client that shows a certificate and resumes a session.
    sessionIdContext: "mailroute",
    ...(clientCa !== undefined && { ca: clientCa }),
  });
}

/** What smtp-server reads its contexts from: any name leads to the certificates' getter. */
export class ContextMap extends Map<string, SecureContext> {
  readonly #certificates: Certificates | undefined;

  constructor(certificates: Certificates | undefined) {
    super();
    this.#certificates = certificates;
  }

  override get(servername: string): SecureContext | undefined {
    return this.#certificates?.context(servername === "*" ? undefined : servername);
  }
}
