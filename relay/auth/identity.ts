/** Who an authenticated client is, and whom it may send as. Values only. */
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

export type AuthVerdict =
  | { readonly kind: "authenticated"; readonly identity: Identity }
  | { readonly kind: "invalid" }
  /** Nobody could be asked: never the client's fault (454). `why` is for the log. */
  | { readonly kind: "unavailable"; readonly why: string };
