/**
 * Runs in a client's pod: one message, handed over with the token that the pod was given, if it was given one, and no
 * password. Its argument is a Submission in JSON; it prints the last answer, or what kept it from one.
 */
import { existsSync, readFileSync } from "node:fs";
import { createTransport } from "nodemailer";

export type Submission = {
  readonly host: string;
  /** 465 is TLS from the first byte (RFC 8314). */
  readonly port: number;
  /** Who signed the relay's certificate, PEM. */
  readonly ca: string;
  readonly from: string;
  /** Of the message's own From field. */
  readonly author: string;
  readonly to: string;
};

const tokenFile = "/var/run/mail/token";
const letter = JSON.parse(process.argv[2] ?? "{}") as Submission;
const { host, port, ca, from, author, to } = letter;
const accessToken = existsSync(tokenFile) ? readFileSync(tokenFile, "utf8") : undefined;
const transport = createTransport({
  host,
  port,
  secure: port === 465,
  tls: { ca },
  ...(accessToken !== undefined && {
    requireTLS: true,
    auth: { type: "OAuth2", user: "token", accessToken },
  }),
});
try {
  const message = { envelope: { from, to }, from: author, to, subject: "pod", text: "Hello." };
  console.log((await transport.sendMail(message)).response);
} catch (error) {
  const { response, message } = error as { response?: string; message: string };
  console.log(response ?? message);
} finally {
  transport.close();
}
