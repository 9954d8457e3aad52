/**
 * Runs in a pod: a next hop that wants STARTTLS and a login, and prints what it receives as pod-sink.ts does. Its
 * certificate and the password are files of the Secret that is mounted at /secret. From SIGHUP on it wants the one in
 * next-password, and whoever is logged in is shown out.
 */
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { text } from "node:stream/consumers";
import { SMTPServer } from "smtp-server";

const secret = (key: string): string => readFileSync(`/secret/${key}`, "utf8");
let wanted = "password";
const server = new SMTPServer({
  key: secret("tls.key"),
  cert: secret("tls.crt"),
  authMethods: ["PLAIN", "LOGIN"],
  onAuth({ username, password }, _session, answer) {
    const isRight = username === "relay" && password === secret(wanted);
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
const connections = new Set<Socket>();
server.server.on("connection", (socket: Socket) => {
  connections.add(socket);
  socket.once("close", () => connections.delete(socket));
});
server.listen(2525, "::");
process.on("SIGHUP", () => {
  wanted = "next-password";
  for (const each of connections) each.destroy();
});
process.on("SIGTERM", () => process.exit(0));
