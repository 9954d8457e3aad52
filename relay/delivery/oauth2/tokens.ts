/**
 * Access tokens for logins at next hops: fetched once for all who need them, kept until shortly before they
 * end, renewed ahead of that, and fetched anew where a next hop refuses one. Loop: owns when to ask a token
 * endpoint, and leaves one that fails alone for a while. Tokens and secrets stay in here.
 */
import { isDeniedAddress, type NetworkSet } from "../../../routing/network.ts";
import type { Auth, Route } from "../../../routing/route.ts";
import { tokenHostOf } from "../../../routing/token-host.ts";
import { createHttps } from "../https.ts";
import type { DeliveryEvents, HopLimits } from "../options.ts";
import type { NameResolver } from "../resolver.ts";
import { nextRest, noRest, type Rest } from "../rest.ts";
import { type ClientProof, readTokenAnswer, type TokenAnswer, tokenForm } from "./token-request.ts";

export type TokenWish = {
  readonly auth: Extract<Auth, { kind: "oauth2" }>;
  readonly clientSecret: string;
  readonly ca?: string | undefined;
  readonly reach: Route["reach"];
  readonly signal: AbortSignal;
};

export type TokensOptions = {
  readonly resolver: NameResolver;
  readonly denied: NetworkSet;
  readonly events: DeliveryEvents;
  /** Milliseconds. */
  readonly now: () => number;
  readonly random: () => number;
  readonly limits: Pick<HopLimits, "restMsMin" | "restMsMax" | "tokenMsMax">;
};

type Token = {
  readonly text: string;
  readonly renewAtMs: number;
  readonly untilMs: number;
};

type Entry = {
  token: Token | undefined;
  fetching: Promise<void> | undefined;
  /** Of the endpoint, after failures. */
  rest: Rest;
  /** No sooner is a token replaced that a next hop refuses: it may be us whom it refuses. */
  replaceAtMs: number;
  proof: ClientProof;
};

const answerBytesMax = 64 * 1024;
const entriesMax = 2000;
/** How long before its end a token is used no more: a login takes time, and clocks differ. */
const marginMs = 30_000;
const replaceMsMin = 60_000;

export class Tokens {
  private readonly options: TokensOptions;
  private readonly https: ReturnType<typeof createHttps>;
  private readonly entries = new Map<string, Entry>();

  constructor(options: TokensOptions) {
    this.options = options;
    this.https = createHttps(options.resolver);
  }

  /** Undefined: there is none now; why has been told by the event `token`. */
  async get(wish: TokenWish): Promise<string | undefined> {
    const entry = this.entryOf(wish);
    const known = this.valid(entry);
    if (known === undefined) {
      await this.fetch(entry, wish);
    } else if (this.options.now() >= known.renewAtMs) {
      void this.fetch(entry, wish);
    }
    return this.valid(entry)?.text;
  }

  /** After a next hop has refused `token`: another one, if there is; undefined: none that is worth a try. */
  async replace(wish: TokenWish, token: string): Promise<string | undefined> {
    const entry = this.entryOf(wish);
    if (this.valid(entry)?.text === token) {
      const nowMs = this.options.now();
      if (entry.fetching === undefined && nowMs < entry.replaceAtMs) return undefined;
      entry.replaceAtMs = nowMs + replaceMsMin;
      await this.fetch(entry, wish);
    }
    const text = this.valid(entry)?.text;
    return text === token ? undefined : text;
  }

  private valid({ token }: Entry): Token | undefined {
    return token !== undefined && this.options.now() < token.untilMs ? token : undefined;
  }

  private entryOf({ auth, reach }: TokenWish): Entry {
    const { tokenURL, clientID, scope = "", credential } = auth;
    const { secret, version } = credential;
    const key = JSON.stringify([tokenURL, clientID, scope, secret, version, reach ?? []]);
    const entry = this.entries.get(key) ?? {
      ...{ token: undefined, fetching: undefined, rest: noRest, replaceAtMs: 0 },
      proof: "body" as const,
    };
    this.entries.delete(key);
    this.entries.set(key, entry);
    const oldest = this.entries.keys().next();
    if (this.entries.size > entriesMax && !oldest.done) this.entries.delete(oldest.value);
    return entry;
  }

  /** One at a time for each entry; whoever comes meanwhile waits for the same. */
  private async fetch(entry: Entry, wish: TokenWish): Promise<void> {
    if (entry.fetching === undefined && this.options.now() < entry.rest.untilMs) return;
    entry.fetching ??= this.fetchNow(entry, wish).finally(() => {
      entry.fetching = undefined;
    });
    await entry.fetching;
  }

  private async fetchNow(entry: Entry, wish: TokenWish): Promise<void> {
    const { now, random, events, limits } = this.options;
    const beganMs = now();
    const answer = await this.ask(entry, wish);
    if (wish.signal.aborted) return;
    const nowMs = now();
    if (answer.kind === "token") {
      const { token: text, lifetimeMs } = answer;
      const margin = Math.min(marginMs, lifetimeMs / 10);
      entry.rest = noRest;
      entry.token = {
        text,
        // Drawn, so that many relays do not come at once.
        renewAtMs: nowMs + lifetimeMs * (0.7 + 0.15 * random()),
        untilMs: nowMs + lifetimeMs - margin,
      };
    } else {
      entry.rest = nextRest(entry.rest, nowMs, limits);
    }
    const { secret } = wish.auth.credential;
    const why = answer.kind === "token" ? {} : { why: answer.why };
    events.token?.({
      ...{ endpoint: endpointOf(wish), secret, result: resultOf(answer), ms: nowMs - beganMs },
      ...why,
    });
  }

  /** Some endpoints read the client's secret in the body only, others in the header only: what works is kept. */
  private async ask(entry: Entry, wish: TokenWish): Promise<TokenAnswer> {
    const answer = await this.askBy(entry.proof, wish);
    if (answer.kind !== "refused" || answer.code !== "invalid_client") return answer;
    const proof = entry.proof === "body" ? "basic" : "body";
    const second = await this.askBy(proof, wish);
    if (second.kind === "token") entry.proof = proof;
    return second.kind === "token" ? second : answer;
  }

  private async askBy(proof: ClientProof, wish: TokenWish): Promise<TokenAnswer> {
    const { denied, limits } = this.options;
    const { auth, clientSecret, ca, reach, signal } = wish;
    const client = { clientID: auth.clientID, clientSecret, scope: auth.scope };
    const answer = await this.https({
      ...{ url: new URL(auth.tokenURL), method: "POST", ca, search: true, signal },
      ...tokenForm(client, proof),
      isAllowed: (address) => !isDeniedAddress(address, { denied, reach }),
      bytesMax: answerBytesMax,
      msMax: limits.tokenMsMax,
    });
    return readTokenAnswer(answer, client);
  }
}

function endpointOf({ auth }: TokenWish): string {
  const { host, port } = tokenHostOf(auth.tokenURL) ?? { host: auth.tokenURL, port: 443 };
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function resultOf({ kind }: TokenAnswer): "fetched" | "refused" | "failed" {
  return kind === "token" ? "fetched" : kind;
}
