/**
 * SASL exchanges over SMTP (RFC 4954): from a client's lines to the credentials that it shows. Pure. Whether
 * they are right is not decided here.
 */
import { isUtf8 } from "node:buffer";
import { assertNever } from "../outcome.ts";
import type { Credentials, Mechanism } from "./identity.ts";

export type SaslStep =
  /** Base64, for a 334. */
  | { readonly kind: "challenge"; readonly text: string }
  | { readonly kind: "credentials"; readonly credentials: Credentials }
  /** Not base64, or not what the mechanism says. */
  | { readonly kind: "malformed" }
  | { readonly kind: "cancelled" };

export interface Exchange {
  /** A line of the client's, without its CRLF. */
  next(line: string): SaslStep;
}

const userBytesMax = 255;
const secretBytesMax = 9000;
const malformed: SaslStep = { kind: "malformed" };

/** Of these the first 334 asks for what the client did not send with AUTH. */
export function startExchange(mechanism: Mechanism): {
  readonly exchange: Exchange;
  readonly firstChallenge: string;
} {
  if (mechanism === "LOGIN")
    return { exchange: new LoginExchange(), firstChallenge: base64("Username:") };
  const exchange: Exchange = {
    next: (line) => decoded(line, (text) => credentialsIn(mechanism, text)),
  };
  return { exchange, firstChallenge: "" };
}

/** An initial response: "=" stands for an empty one (RFC 4954 section 4). */
export function firstResponse(exchange: Exchange, text: string): SaslStep {
  return exchange.next(text === "=" ? "" : text);
}

/**
 * What OAuth mechanisms are told before the 535, so that the client learns why (RFC 7628 section 3.2.2);
 * it answers with a line that says nothing.
 */
export function failureChallenge(mechanism: Mechanism): string | undefined {
  if (mechanism !== "OAUTHBEARER" && mechanism !== "XOAUTH2") return undefined;
  const status = mechanism === "XOAUTH2" ? "401" : "invalid_token";
  return base64(JSON.stringify({ status, schemes: "bearer", scope: "mailroute" }));
}

/** Two questions in the order of draft-murchison-sasl-login; what the questions say is not looked at. */
class LoginExchange implements Exchange {
  #user: string | undefined;

  next(line: string): SaslStep {
    return decoded(line, (text) => {
      if (this.#user === undefined) {
        this.#user = text;
        return { kind: "challenge", text: base64("Password:") };
      }
      return checked({ mechanism: "LOGIN", user: this.#user, secret: text });
    });
  }
}

function credentialsIn(mechanism: Mechanism, text: string): SaslStep {
  switch (mechanism) {
    case "PLAIN":
      return plain(text);
    case "OAUTHBEARER":
      return bearer(text);
    case "XOAUTH2":
      return xoauth2(text);
    case "LOGIN":
      return malformed; // LoginExchange
    default:
      return assertNever(mechanism);
  }
}

/** RFC 4616: [authorization identity] NUL identity NUL password. To act for another is not served. */
function plain(text: string): SaslStep {
  const [authorization, user, secret, ...more] = text.split("\0");
  if (user === undefined || secret === undefined || more.length > 0) return malformed;
  if (authorization !== "" && authorization !== user) return malformed;
  return checked({ mechanism: "PLAIN", user, secret });
}

/** Parts pairs from each other in both OAuth mechanisms. */
const controlA = "\x01";

/** RFC 7628 section 3.1: a GS2 header, then key=value pairs between control-A. */
function bearer(text: string): SaslStep {
  const [head = "", ...pairs] = text.split(controlA);
  const header = /^n,(?:a=((?:[^,=]|=2C|=3D)*))?,$/.exec(head);
  if (header === null) return malformed;
  const user = (header[1] ?? "").replaceAll("=2C", ",").replaceAll("=3D", "=");
  return withToken({ mechanism: "OAUTHBEARER", user }, pairs);
}

/** As Google and Microsoft document it: user=...^Aauth=Bearer ...^A^A. */
function xoauth2(text: string): SaslStep {
  const [head = "", ...pairs] = text.split(controlA);
  if (!head.startsWith("user=")) return malformed;
  return withToken({ mechanism: "XOAUTH2", user: head.slice("user=".length) }, pairs);
}

/** Both end with two control-A: the last two pairs are empty. */
function withToken(shown: Omit<Credentials, "secret">, pairs: readonly string[]): SaslStep {
  if (pairs.length < 3 || pairs.at(-1) !== "" || pairs.at(-2) !== "") return malformed;
  const tokens = pairs.flatMap((pair) => /^auth=bearer +([\w.~+/-]+=*)$/i.exec(pair)?.[1] ?? []);
  const [secret] = tokens;
  return tokens.length === 1 && secret !== undefined ? checked({ ...shown, secret }) : malformed;
}

function checked(credentials: Credentials): SaslStep {
  const { user, secret } = credentials;
  const fits =
    secret !== "" &&
    Buffer.byteLength(user) <= userBytesMax &&
    Buffer.byteLength(secret) <= secretBytesMax &&
    !/[\0\r\n]/.test(user + secret);
  return fits ? { kind: "credentials", credentials } : malformed;
}

const base64Text = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function decoded(line: string, take: (text: string) => SaslStep): SaslStep {
  if (line === "*") return { kind: "cancelled" };
  if (!base64Text.test(line)) return malformed;
  const bytes = Buffer.from(line, "base64");
  return isUtf8(bytes) ? take(bytes.toString()) : malformed;
}

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
