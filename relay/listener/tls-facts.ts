/**
 * What a finished handshake says: version, cipher, and who the client is by its certificate, if it showed one.
 * Adapter over TLSSocket. A certificate gives a name or nothing: it never ends a connection.
 */
import type { TLSSocket } from "node:tls";
import { type NameList, namesOf } from "./certificate-names.ts";
import type { Greeting } from "./reception.ts";

/** What a client's certificate came to; a closed set, used as a metric label. */
export type CertificateResult =
  | "trusted"
  /** It verifies, and none of its names is listed. */
  | "unlisted"
  /** It does not verify: another CA, expired, not for clients. */
  | "unverified";

export type ShownCertificate = {
  readonly result: CertificateResult;
  /** The listed name, or those that it has. */
  readonly name: string;
  /** Why it does not verify. */
  readonly text?: string;
};

export type TlsFacts = {
  readonly tls: NonNullable<Greeting["tls"]>;
  readonly certificate?: ShownCertificate;
};

/** Undefined where the version is older than TLS 1.2. `listed`: names of clients, where they are asked. */
export function tlsFacts(socket: TLSSocket, listed: NameList | undefined): TlsFacts | undefined {
  const version = socket.getProtocol() ?? "";
  if (version !== "TLSv1.2" && version !== "TLSv1.3") return undefined;
  const tls = { version, cipher: socket.getCipher().name };
  const certificate = listed && shown(socket, listed);
  if (certificate === undefined) return { tls };
  if (certificate.result !== "trusted") return { tls, certificate };
  return { tls: { ...tls, clientName: certificate.name }, certificate };
}

/** As many names as a log line can bear. */
const namesShownMax = 5;

function shown(socket: TLSSocket, listed: NameList): ShownCertificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const names = namesOf(certificate);
  const all = names.slice(0, namesShownMax).join(" ");
  if (!socket.authorized) {
    return { result: "unverified", name: all, text: String(socket.authorizationError) };
  }
  const name = names.find((each) => listed.has(each));
  return name === undefined ? { result: "unlisted", name: all } : { result: "trusted", name };
}
