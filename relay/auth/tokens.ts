/**
 * Kubernetes ServiceAccount tokens as credentials: TokenReview with an audience, its answers kept for a
 * minute, a token's own end at most, and asked for by turns of the clients' networks. Adapter. An API server that does not answer is nobody's fault but ours.
 */
import { createHash } from "node:crypto";
import type { Api } from "../../kube/api.ts";
import { errorText } from "../../kube/error-text.ts";
import type { Identity, Verdict } from "./identity.ts";
import { Turns } from "./turns.ts";

export type TokenOptions = {
  readonly api: Api;
  readonly audience: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly reviewMsMax?: number;
  /** Answers, of right and of wrong ones each: wrong ones never push out a right one. */
  readonly keptMax?: number;
};

type TokenVerdict = Verdict<{ readonly identity: Identity }>;

export type Tokens = {
  /** `network` is what the client is counted by: of each network one review in turn. Never rejects. */
  check(token: string, network: string): Promise<TokenVerdict>;
};

const keptMs = 60_000;
/** Of wrong ones, so that who tries one again and again does not ask the API server as often. */
const wrongKeptMs = 10_000;
const keptMaxDefault = 10_000;
const atOnceMax = 20;
const waitingMax = 1000;
/** So that wrong ones of one network make nobody else wait for long. */
const waitingPerNetworkMax = 50;
const reviewMsMaxDefault = 5000;
const path = "/apis/authentication.k8s.io/v1/tokenreviews";
const serviceAccount = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;
const jwt = /^[\w-]+\.([\w-]+)\.[\w-]+$/;

/** Whether it has the shape of a token: no password is sent to the API server. */
export function isToken(secret: string): boolean {
  return jwt.test(secret) && claimsOf(secret) !== undefined;
}

export function createTokens(options: TokenOptions): Tokens {
  const right = new KeptVerdicts(options);
  const wrong = new KeptVerdicts(options);
  const turns = new Turns({ atOnceMax, waitingMax, waitingPerNetworkMax });
  const asked = new Map<string, Promise<TokenVerdict>>();
  const ask = async (key: string, token: string, network: string): Promise<TokenVerdict> => {
    const verdict = await turns.take(network, async () => await review(options, token));
    if (verdict === undefined)
      return { kind: "unavailable", why: "too many tokens are being reviewed" };
    const endMs = expiryMs(token) ?? Number.POSITIVE_INFINITY;
    if (verdict.kind === "authenticated")
      right.keep(key, verdict, Math.min(options.now() + keptMs, endMs));
    if (verdict.kind === "invalid") wrong.keep(key, verdict, options.now() + wrongKeptMs);
    return verdict;
  };
  return {
    async check(token, network) {
      const key = createHash("sha256").update(token).digest("base64");
      const known = right.get(key) ?? wrong.get(key);
      if (known !== undefined) return known;
      const running = asked.get(key);
      if (running !== undefined) return await running;
      const asking = ask(key, token, network).finally(() => asked.delete(key));
      asked.set(key, asking);
      return await asking;
    },
  };
}

/** Answers of a moment ago, so many at most: entries stand in the order in which they came, and the oldest goes. */
class KeptVerdicts {
  readonly #kept = new Map<string, { readonly verdict: TokenVerdict; readonly untilMs: number }>();
  readonly #now: () => number;
  readonly #max: number;

  constructor({ now, keptMax = keptMaxDefault }: TokenOptions) {
    this.#now = now;
    this.#max = keptMax;
  }

  get(key: string): TokenVerdict | undefined {
    const known = this.#kept.get(key);
    if (known !== undefined && this.#now() < known.untilMs) return known.verdict;
    this.#kept.delete(key);
    return undefined;
  }

  keep(key: string, verdict: TokenVerdict, untilMs: number): void {
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= this.#max && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(key, { verdict, untilMs });
  }
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
