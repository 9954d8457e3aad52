/**
 * A next hop that takes everything and costs next to nothing, for the loads of big messages: Debian's smtp-sink reads
 * octet by octet, and at 1 MiB costs more than the relays that are measured. Run: `node big-sink.ts PORT`.
 */
import { createServer, type Socket } from "node:net";

const bodyEnd = "\r\n.\r\n";
const quit = "QUIT\r\n";
const goodbye = "221 2.0.0 bye\r\n";
const greeting = "220 sink.test ESMTP\r\n";
const extensions = "250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n";
const backlog = 1000;

/**
 * Before its final dot is answered nobody says more than QUIT (as Postfix does), so a message is over when what came
 * ends so.
 */
function serve(socket: Socket): void {
  let phase: "commands" | "body" = "commands";
  let rest: Buffer = Buffer.alloc(0);
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    if (phase === "body") {
      rest = tailOf(rest, chunk);
      const end = rest.toString("latin1");
      if (!/\r\n\.\r\n(QUIT\r\n)?$/.test(end)) return;
      phase = "commands";
      rest = Buffer.alloc(0);
      socket.write("250 2.0.0 taken\r\n");
      if (end.endsWith(quit)) socket.end(goodbye);
      return;
    }
    const lines = Buffer.concat([rest, chunk]).toString("latin1").split("\r\n");
    rest = Buffer.from(lines.pop() ?? "", "latin1");
    socket.write(lines.map(answer).join(""));
    if (lines.at(-1) === "QUIT") socket.end(goodbye);
    if (lines.at(-1) !== "DATA") return;
    phase = "body";
    rest = Buffer.from("\r\n");
  });
  socket.write(greeting);
}

function answer(line: string): string {
  if (line === "QUIT") return "";
  if (line === "DATA") return "354 go on\r\n";
  return line.startsWith("EHLO") ? extensions : "250 2.1.0 ok\r\n";
}

/** A copy of the last octets that came, as many as the end of a message and what may follow it have. */
function tailOf(before: Buffer, chunk: Buffer): Buffer {
  const length = `${bodyEnd}${quit}`.length;
  const whole = chunk.length < length ? Buffer.concat([before, chunk]) : chunk;
  return Buffer.from(whole.subarray(-length));
}

createServer({ noDelay: true }, serve).listen(Number(process.argv[2]), "127.0.0.1", backlog);
