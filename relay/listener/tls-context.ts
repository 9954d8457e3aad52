/**
 * Certificates as the listener takes them: a getter asked at each handshake, so that a swapped file
 * counts from the next connection on. smtp-server's built-in key never comes into it.
 */
import { createSecureContext, type SecureContext } from "node:tls";

/** Where the listener gets its certificate, for the name that the client asked for, if any. */
export type Certificates = {
  /**
   * Asked up to three times per handshake: returns a context made before. May throw while there is
   * none to use: STARTTLS is then answered 454 4.7.0.
   */
  context(servername?: string): SecureContext;
};

/** A context for receiving mail: TLS 1.2 and up. `cert` and `key` are PEM, the chain included. */
export function mailContext(pem: { readonly cert: string; readonly key: string }): SecureContext {
  return createSecureContext({ ...pem, minVersion: "TLSv1.2", honorCipherOrder: true });
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
