/** Who an authenticated client is, whom it may send as, and whether that still holds. Types only, but for one list. */
import type { SenderKey } from "../../routing/key.ts";

export type Identity = {
  readonly kind: "user" | "serviceAccount";
  /** For logs: the user's name, or "namespace/serviceaccount". */
  readonly name: string;
  /** Of a ServiceAccount; "" for users, who are the installation's own. */
  readonly namespace: string;
  /** Of a user; undefined: what the route table gives the namespace. */
  readonly senders: readonly SenderKey[] | undefined;
  /** Of a user; undefined: any number. */
  readonly messagesPerHour?: number | undefined;
};

/** What a client has shown of itself. */
export type Credentials = {
  readonly mechanism: Mechanism;
  /** "" where the mechanism leaves it out. */
  readonly user: string;
  /** A password, or a token. */
  readonly secret: string;
};

export const mechanisms = ["PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"] as const;
export type Mechanism = (typeof mechanisms)[number];

/** What credentials come to: whose they are is a `Known`. */
export type Verdict<Known> =
  | (Known & { readonly kind: "authenticated" })
  | { readonly kind: "invalid" }
  /** Nobody could be asked: never the client's fault (454). `why` is for the log. */
  | { readonly kind: "unavailable"; readonly why: string };

export type AuthVerdict = Verdict<{ readonly login: Login }>;

/** Somebody who has authenticated, for one session. */
export type Login = {
  /** Who it was then. */
  readonly identity: Identity;
  /** Who it is now, with the rights of now; at once where nobody has to be asked. Never rejects. */
  standing(): Standing | Promise<Standing>;
};

export type Standing =
  /** The same object for as long as nothing has changed. */
  | { readonly kind: "holds"; readonly identity: Identity }
  /** In words for the client. */
  | { readonly kind: "over"; readonly why: string };
