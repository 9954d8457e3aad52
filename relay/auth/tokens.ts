/**
 * Kubernetes ServiceAccount tokens as credentials: TokenReview with an audience, its answers kept for a
 * minute, a token's own end at most. Adapter. An API server that does not answer is nobody's fault but ours.
 */
import { createHash } from "node:crypto";
import type { Api } from "../../kube/api.ts";
import { errorText } from "../../kube/error-text.ts";
import type { Identity, Verdict } from "./identity.ts";

export type TokenOptions = {
  readonly api: Api;
  readonly audience: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly reviewMsMax?: number;
};

type TokenVerdict = Verdict<{ readonly identity: Identity }>;

export type Tokens = { check(token: string): Promise<TokenVerdict> };

type Kept = { readonly verdict: TokenVerdict; readonly untilMs: number };

const keptMs = 60_000;
/** Of wrong ones, so that who tries one again and again does not ask the API server as often. */
const wrongKeptMs = 10_000;
const keptMax = 10_000;
const atOnceMax = 20;
const reviewMsMaxDefault = 5000;
const path = "/apis/authentication.k8s.io/v1/tokenreviews";
const serviceAccount = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;
const jwt = /^[\w-]+\.([\w-]+)\.[\w-]+$/;

/** Whether it has the shape of a token: no password is sent to the API server. */
export function isToken(secret: string): boolean {
  return jwt.test(secret) && claimsOf(secret) !== undefined;
}

export function createTokens(options: TokenOptions): Tokens {
  const kept = new Map<string, Kept>();
  const asked = new Map<string, Promise<TokenVerdict>>();
  const remember = (key: string, token: string, verdict: TokenVerdict): void => {
    if (verdict.kind === "unavailable") return;
    const nowMs = options.now();
    const untilMs =
      verdict.kind === "invalid"
        ? nowMs + wrongKeptMs
        : Math.min(nowMs + keptMs, expiryMs(token) ?? nowMs + keptMs);
    // The oldest goes: entries stand in the order in which they came.
    const [oldest] = kept.keys();
    if (kept.size >= keptMax && oldest !== undefined) kept.delete(oldest);
    kept.set(key, { verdict, untilMs });
  };
  return {
    async check(token) {
      const key = createHash("sha256").update(token).digest("base64");
      const known = kept.get(key);
      if (known !== undefined && options.now() < known.untilMs) return known.verdict;
      kept.delete(key);
      const running = asked.get(key);
      if (running !== undefined) return await running;
      if (asked.size >= atOnceMax)
        return { kind: "unavailable", why: "too many tokens are being reviewed" };
      const asking = review(options, token).finally(() => asked.delete(key));
      asked.set(key, asking);
      const verdict = await asking;
      remember(key, token, verdict);
      return verdict;
    },
  };
}

type Reviewed = {
  readonly authenticated?: boolean;
  readonly user?: { readonly username?: string };
  readonly audiences?: readonly string[];
  readonly error?: string;
};

async function review(options: TokenOptions, token: string): Promise<TokenVerdict> {
  const { api, audience, reviewMsMax = reviewMsMaxDefault } = options;
  try {
    const { status, body } = await api.request({
      method: "POST",
      path,
      body: {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenReview",
        spec: { token, audiences: [audience] },
      },
      signal: AbortSignal.timeout(reviewMsMax),
    });
    if (status !== 200 && status !== 201)
      return { kind: "unavailable", why: `TokenReview answered ${status}: ${body.message ?? ""}` };
    return verdictOf((body["status"] ?? {}) as Reviewed, audience);
  } catch (error) {
    return { kind: "unavailable", why: errorText(error) };
  }
}

function verdictOf({ authenticated, user, audiences }: Reviewed, audience: string): TokenVerdict {
  const [, namespace, name] = serviceAccount.exec(user?.username ?? "") ?? [];
  // An API server that knows no audiences would take every token of the cluster for ours.
  const isOurs = authenticated === true && audiences?.includes(audience) === true;
  if (!isOurs || namespace === undefined || name === undefined) return { kind: "invalid" };
  const identity = { kind: "serviceAccount", namespace, name: `${namespace}/${name}` } as const;
  return { kind: "authenticated", identity: { ...identity, senders: undefined } };
}

function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const text = Buffer.from(jwt.exec(token)?.[1] ?? "", "base64url").toString();
    const claims: unknown = JSON.parse(text);
    return typeof claims === "object" && claims !== null
      ? (claims as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Epoch milliseconds; undefined where the token says nothing. Only who has reviewed it may believe it. */
export function expiryMs(token: string): number | undefined {
  const exp = claimsOf(token)?.["exp"];
  return typeof exp === "number" ? exp * 1000 : undefined;
}
