/**
 * Runs in a pod: a next hop that wants STARTTLS and a login, and prints what it receives as pod-sink.ts does. Its
 * certificate and the password are files of the Secret that is mounted at /secret.
 */
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { SMTPServer } from "smtp-server";

const secret = (key: string): string => readFileSync(`/secret/${key}`, "utf8");
const server = new SMTPServer({
  key: secret("tls.key"),
  cert: secret("tls.crt"),
  authMethods: ["PLAIN", "LOGIN"],
  onAuth({ username, password }, _session, answer) {
    const isRight = username === "relay" && password === secret("password");
    if (isRight) answer(null, { user: "relay" });
    else answer(new Error("wrong password"));
  },
  onData(stream, { envelope }, answer) {
    void text(stream).then((body) => {
      const recipients = envelope.rcptTo.map(({ address }) => address);
      const number = Number(/^X-Ledger: (\d+)/m.exec(body)?.[1] ?? -1);
      console.log(JSON.stringify({ atMs: Date.now(), recipients, number }));
      answer();
    });
  },
});
server.on("error", () => {}); // a client that goes away
server.listen(2525, "::");
process.on("SIGTERM", () => process.exit(0));
