/**
 * How to prove who we are to a next hop: which SASL mechanisms a credential is for, and XOAUTH2, which
 * nodemailer would carry out with a second try of its own. Adapter of nodemailer's hook for mechanisms.
 */
import type SMTPConnection from "nodemailer/lib/smtp-connection";

export type Login = {
  /** The first that the next hop offers is taken. */
  readonly mechanisms: readonly Mechanism[];
  readonly username: string;
  /** A password or an access token. */
  readonly secret: string;
};

export type Mechanism = "PLAIN" | "LOGIN" | "XOAUTH2";

export function passwordLogin(username: string, password: string): Login {
  return { mechanisms: ["PLAIN", "LOGIN"], username, secret: password };
}

export function tokenLogin(username: string, token: string): Login {
  return { mechanisms: ["XOAUTH2"], username, secret: token };
}

/** One response; a 334 after it holds the reason of a refusal and wants an empty line before the reply itself. */
export function xoauth2(context: SMTPConnection.CustomAuthenticationContext): void {
  const { auth, sendCommand, resolve, reject } = context;
  const { user, pass } = auth.credentials;
  const text = `user=${user}\u0001auth=Bearer ${pass}\u0001\u0001`;
  const conclude = (status: number): void => {
    if (status === 235) resolve();
    else reject(new Error("the access token was refused"));
  };
  sendCommand(`AUTH XOAUTH2 ${Buffer.from(text).toString("base64")}`, (_, { status }) => {
    if (status === 334) sendCommand("", (_error, last) => conclude(last.status));
    else conclude(status);
  });
}
