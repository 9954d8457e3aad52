/** `mailroute send`: hands one small message to a relay, to try it. Adapter over nodemailer. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createTransport } from "nodemailer";
import { type Command, fail, portOf, print, UsageError } from "./console.ts";

export const sendCommand: Command = {
  name: "send",
  summary: "hand a message to a relay, to try it",
  help: `mailroute send --to ADDRESS [--to ADDRESS ...]

  --from ADDRESS   the envelope sender (me@corp.example)
  --host HOST      the relay (127.0.0.1)
  --port N         its port (2525)
  --subject TEXT   (Hello)
  --text TEXT      (Sent by mailroute send.)
  --user NAME      logs in, over TLS, as NAME ...
  --password-file FILE   ... with the password in FILE
  --token-file FILE      logs in with the token in FILE, such as that of a Kubernetes
                         ServiceAccount for the audience mailroute; needs no --user
  --ca FILE        the authority of the relay's certificate (PEM); without it any
                   certificate will do, which shows the password to whoever answers`,
  async run(args) {
    const { values } = parseArgs({
      args,
      options: {
        to: { type: "string", multiple: true },
        from: { type: "string", default: "me@corp.example" },
        host: { type: "string", default: "127.0.0.1" },
        port: { type: "string", default: "2525" },
        subject: { type: "string", default: "Hello" },
        text: { type: "string", default: "Sent by mailroute send." },
        user: { type: "string" },
        "password-file": { type: "string" },
        "token-file": { type: "string" },
        ca: { type: "string" },
      },
    });
    const { to, from, host, subject, text } = values;
    if (to === undefined) throw new UsageError("--to ADDRESS is missing");
    const auth = loginOf(values);
    const transport = createTransport({
      host,
      port: portOf("--port", values.port),
      secure: false,
      ...(auth !== undefined && { auth, requireTLS: true }),
      tls:
        values.ca === undefined ? { rejectUnauthorized: false } : { ca: read("--ca", values.ca) },
    });
    try {
      const sent = await transport.sendMail({ envelope: { from, to }, from, to, subject, text });
      print(sent.response);
      for (const address of sent.rejected) print(`refused: ${String(address)}`);
      return sent.rejected.length > 0 ? 1 : 0;
    } catch (error) {
      return fail([(error as Error).message]);
    } finally {
      transport.close();
    }
  },
};

type Login = {
  readonly user?: string | undefined;
  readonly "password-file"?: string | undefined;
  readonly "token-file"?: string | undefined;
};

function loginOf(values: Login) {
  const { user, "password-file": passwordFile, "token-file": tokenFile } = values;
  if (tokenFile !== undefined) {
    const accessToken = read("--token-file", tokenFile).trim();
    return { type: "OAuth2" as const, user: user ?? "token", accessToken };
  }
  if (user === undefined && passwordFile === undefined) return undefined;
  if (user === undefined || passwordFile === undefined)
    throw new UsageError("--user NAME and --password-file FILE belong together");
  return { user, pass: read("--password-file", passwordFile).replace(/\r?\n$/, "") };
}

function read(flag: string, file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new UsageError(`${flag}: ${(cause as Error).message}`, { cause });
  }
}
