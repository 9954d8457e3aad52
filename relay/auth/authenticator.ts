/**
 * Whether credentials are right, and whose they are. Loop: tokens go to the API server, passwords to the
 * users' hashes, two at once and by turns; wrong ones are answered slowly. It knows no SMTP.
 */
import { createHmac, randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { decoyOf } from "./decoy.ts";
import { Failures } from "./failures.ts";
import type { AuthVerdict, Credentials } from "./identity.ts";
import { tokenLogin, userLogin } from "./login.ts";
import { isPasswordOf, type PasswordHash } from "./password-hash.ts";
import { expiryMs, isToken, type Tokens } from "./tokens.ts";
import { Turns } from "./turns.ts";
import type { User } from "./users.ts";

export type AuthenticatorOptions = {
  /** Undefined: no users are served. */
  readonly users: (() => ReadonlyMap<string, User>) | undefined;
  /** Undefined: no tokens are served. */
  readonly tokens: Tokens | undefined;
  /** The work of hashing. */
  readonly compare?: (known: PasswordHash, password: string) => Promise<boolean>;
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
};

export type Authenticator = {
  /** `network` is what the client is counted by. Never rejects. */
  check(credentials: Credentials, network: string): Promise<AuthVerdict>;
};

/** Two at once, and never all processors: mail goes on meanwhile. */
const checksAtOnceMax = Math.max(1, Math.min(2, availableParallelism() - 1));
/** Who finds the line full, or nobody to ask, asks again no sooner. */
const unavailableMs = 1000;
const waitingMax = 200;
const waitingPerNetworkMax = 20;
/** A password that was right is right again for so long without the work of its hash. */
const rightKeptMs = 60_000;
const rightKeptMax = 1000;
const invalid = { kind: "invalid" } as const;

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { users, tokens, compare = isPasswordOf, now, sleep } = options;
  const turns = new Turns({ atOnceMax: checksAtOnceMax, waitingMax, waitingPerNetworkMax });
  const failures = new Failures();
  const right = new RightPasswords(now);

  const checkToken = async (token: string, network: string): Promise<AuthVerdict> => {
    const review = async () => (await tokens?.check(token, network)) ?? invalid;
    const verdict = await review();
    if (verdict.kind !== "authenticated") return verdict;
    const { identity } = verdict;
    return {
      kind: "authenticated",
      login: tokenLogin({ identity, endsMs: expiryMs(token), review, now }),
    };
  };

  const checkPassword = async (
    { user, secret }: Credentials,
    network: string,
  ): Promise<AuthVerdict> => {
    if (users === undefined) return invalid;
    const all = users();
    const known = all.get(user);
    if (known !== undefined && right.has(known, secret)) return authenticated(known, users);
    const isRight = await turns.take(network, async () => {
      // Who is not there takes as long as who is.
      return await compare(known?.hash ?? decoyOf(all), secret);
    });
    if (isRight === undefined)
      return { kind: "unavailable", why: "too many passwords are being checked" };
    if (!isRight || known === undefined) return invalid;
    right.add(known, secret);
    return authenticated(known, users);
  };

  return {
    async check(credentials, network) {
      const isForTokens = tokens !== undefined && isToken(credentials.secret);
      const mayBeUser = users !== undefined && !credentials.mechanism.includes("OAUTH");
      let verdict: AuthVerdict = invalid;
      if (isForTokens) verdict = await checkToken(credentials.secret, network);
      else if (mayBeUser) verdict = await checkPassword(credentials, network);
      if (verdict.kind === "unavailable") await sleep(unavailableMs);
      if (verdict.kind === "invalid") await sleep(failures.add(network, now()));
      return verdict;
    },
  };
}

function authenticated(user: User, users: () => ReadonlyMap<string, User>): AuthVerdict {
  return { kind: "authenticated", login: userLogin(user, users) };
}

/** Keyed digests of passwords that were right a moment ago; gone with the process, and with the user's hash. */
class RightPasswords {
  readonly #key = randomBytes(32);
  readonly #untilMs = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  has(user: User, secret: string): boolean {
    return this.#now() < (this.#untilMs.get(this.#digest(user, secret)) ?? 0);
  }

  add(user: User, secret: string): void {
    const [oldest] = this.#untilMs.keys();
    if (this.#untilMs.size >= rightKeptMax && oldest !== undefined) this.#untilMs.delete(oldest);
    this.#untilMs.set(this.#digest(user, secret), this.#now() + rightKeptMs);
  }

  #digest({ name, hash }: User, secret: string): string {
    const text = JSON.stringify([
      name,
      hash.salt.toString("hex"),
      hash.hash.toString("hex"),
      secret,
    ]);
    return createHmac("sha256", this.#key).update(text).digest("base64");
  }
}
