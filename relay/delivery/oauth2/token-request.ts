/**
 * The client credentials grant (RFC 6749 section 4.4) as text: the request of a token, and what an answer says.
 * Pure. Nothing that it says of a failure holds the client's secret.
 */
import * as z from "zod";
import { parsedJson } from "../../parsed-json.ts";
import type { HttpsAnswer } from "../https.ts";

export type ClientCredentials = {
  readonly clientID: string;
  readonly clientSecret: string;
  readonly scope?: string | undefined;
};

/** How a client proves who it is (RFC 6749 section 2.3.1). */
export type ClientProof = "body" | "basic";

export type TokenForm = {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

export type TokenAnswer =
  | { readonly kind: "token"; readonly token: string; readonly lifetimeMs: number }
  /** `code` is that of RFC 6749 section 5.2, where there is one. */
  | { readonly kind: "refused"; readonly code: string; readonly why: string }
  | { readonly kind: "failed"; readonly why: string };

export function tokenForm(client: ClientCredentials, proof: ClientProof): TokenForm {
  const { clientID, clientSecret, scope } = client;
  const form = new URLSearchParams({ grant_type: "client_credentials" });
  if (scope !== undefined) form.set("scope", scope);
  const headers: Record<string, string> = {
    accept: "application/json",
    "content-type": "application/x-www-form-urlencoded",
  };
  if (proof === "body") {
    form.set("client_id", clientID);
    form.set("client_secret", clientSecret);
  } else {
    const pair = `${formEncoded(clientID)}:${formEncoded(clientSecret)}`;
    headers["authorization"] = `Basic ${Buffer.from(pair).toString("base64")}`;
  }
  const body = form.toString();
  return { headers: { ...headers, "content-length": String(Buffer.byteLength(body)) }, body };
}

function formEncoded(text: string): string {
  return new URLSearchParams({ x: text }).toString().slice(2);
}

/** RFC 6749 section 5.1: without `expires_in` a token may end at any time. */
const lifetimeDefaultMs = 300_000;
const lifetimeMsMax = 86_400_000;
const tokenCharsMax = 8192;
const whyCharsMax = 300;

const granted = z.object({
  // RFC 6749 appendix A.12: visible ASCII.
  access_token: z
    .string()
    .max(tokenCharsMax)
    .regex(/^[!-~]+$/),
  token_type: z
    .string()
    .regex(/^bearer$/i)
    .optional(),
  expires_in: z.coerce.number().positive().optional(),
});

const refusal = z.object({ error: z.string(), error_description: z.string().optional() });

/** RFC 6749 sections 5.1 and 5.2. */
export function readTokenAnswer(
  answer: HttpsAnswer,
  { clientSecret }: ClientCredentials,
): TokenAnswer {
  const clean = (text: string): string => cleaned(text, clientSecret);
  if (answer.kind === "failed") return { kind: "failed", why: clean(answer.why) };
  const { status } = answer;
  const json = parsedJson(answer.body);
  if (status >= 300 && status < 400) {
    return { kind: "failed", why: `it answers ${status}: redirects are not followed` };
  }
  if (status === 200) {
    const token = granted.safeParse(json);
    if (!token.success) return { kind: "failed", why: "its answer holds no bearer token" };
    const { access_token, expires_in } = token.data;
    const lifetimeMs = expires_in === undefined ? lifetimeDefaultMs : expires_in * 1000;
    return { kind: "token", token: access_token, lifetimeMs: Math.min(lifetimeMs, lifetimeMsMax) };
  }
  const said = refusal.safeParse(json);
  if (status >= 400 && status < 500 && said.success) {
    const { error, error_description } = said.data;
    const code = clean(error);
    const more = error_description === undefined ? "" : `: ${clean(error_description)}`;
    return { kind: "refused", code, why: `it refuses us, ${code}${more}` };
  }
  return { kind: "failed", why: `it answers ${status}` };
}

/** One line of visible ASCII, and never our secret, whatever the other side repeats. */
function cleaned(text: string, secret: string): string {
  return text
    .replaceAll(secret, "(secret)")
    .replaceAll(formEncoded(secret), "(secret)")
    .replace(/[^ -~]+/g, " ")
    .slice(0, whyCharsMax)
    .trim();
}
