/**
 * How long who has authenticated stays so: a user while the users' file has him with the same password, a token
 * until its end and while the API server says so, which is asked again every few minutes. Loop; it ends nothing
 * itself, and is asked before each transaction.
 */
import { assertNever } from "../outcome.ts";
import type { Identity, Login, Standing, Verdict } from "./identity.ts";
import type { PasswordHash } from "./password-hash.ts";
import type { User } from "./users.ts";

/** `users`: those in force. */
export function userLogin(user: User, users: () => ReadonlyMap<string, User>): Login {
  let known = user;
  let identity = identityOf(user);
  return {
    identity,
    standing() {
      const current = users().get(user.name);
      if (current === undefined) return over("this user is gone");
      if (!isSameHash(current.hash, user.hash)) return over("the password has changed");
      if (current !== known) identity = identityOf(current);
      known = current;
      return { kind: "holds", identity };
    },
  };
}

function identityOf({ name, senders, messagesPerHour }: User): Identity {
  return { kind: "user", name, namespace: "", senders, messagesPerHour };
}

/** Costs and all: whoever hashes a password anew means something by it. */
function isSameHash(one: PasswordHash, other: PasswordHash): boolean {
  return textOf(one) === textOf(other);
}

function textOf({ salt, hash, ...costs }: PasswordHash): string {
  return JSON.stringify([salt.toString("hex"), hash.toString("hex"), Object.entries(costs)]);
}

export type TokenLoginOptions = {
  readonly identity: Identity;
  /** What the token says of its own end, in epoch ms: it only ever makes the login shorter. */
  readonly endsMs: number | undefined;
  /** Asks the API server about the token again. */
  readonly review: () => Promise<Verdict<{ readonly identity: Identity }>>;
  /** Epoch milliseconds. */
  readonly now: () => number;
};

/** A token is asked about again after it. */
const confirmedMs = 5 * 60_000;
/** While the API server cannot be asked, a login that it has confirmed holds for so long, and no longer. */
const unconfirmedMsMax = 15 * 60_000;
/** Meanwhile it is tried no more often than this: a client waits for the answer. */
const askAgainMs = 30_000;

export function tokenLogin({ identity, endsMs, review, now }: TokenLoginOptions): Login {
  let seenMs = now();
  let askMs = seenMs + confirmedMs;
  // A token that has ended and was confirmed all the same: the clocks differ, and the API server's counts.
  const untilMs = endsMs !== undefined && endsMs > seenMs ? endsMs : Number.POSITIVE_INFINITY;
  const holds: Standing = { kind: "holds", identity };
  let ended: Standing | undefined;

  const ask = async (): Promise<Standing> => {
    const verdict = await review();
    switch (verdict.kind) {
      case "authenticated":
        seenMs = now();
        askMs = seenMs + confirmedMs;
        return holds;
      case "invalid":
        ended = over("the token is not valid any more");
        return ended;
      case "unavailable": {
        askMs = now() + askAgainMs;
        const isTooLong = now() - seenMs >= unconfirmedMsMax;
        return isTooLong ? over("nobody has been able to confirm the token") : holds;
      }
      default:
        return assertNever(verdict);
    }
  };

  return {
    identity,
    standing() {
      const nowMs = now();
      if (nowMs >= untilMs) return over("the token has ended");
      if (ended !== undefined) return ended;
      const isSettled = nowMs >= seenMs && nowMs < Math.min(askMs, seenMs + unconfirmedMsMax);
      return isSettled ? holds : ask();
    },
  };
}

function over(why: string): Standing {
  return { kind: "over", why };
}
