/**
 * What Debian's smtp-source does over kept connections, with the same dialog (one command, then its answer), at a
 * fraction of its cost for big messages. Run: `node big-source.ts PORT SESSIONS MESSAGES OCTETS`; it prints the
 * milliseconds from the first connection to the last answer, and ends with 1 unless all are answered.
 */
import { connect, type Socket } from "node:net";

const [port = 0, sessions = 1, messages = 1, octets = 0] = process.argv.slice(2).map(Number);
const header = "From: <a@sender.test>\r\nTo: <b@bench.test>\r\nSubject: a big one\r\n\r\n";
const line = `${"X".repeat(78)}\r\n`;
const lines = Math.floor((octets - header.length) / line.length);
const body = Buffer.from(`${header}${line.repeat(lines)}.\r\n`);
const commands = ["MAIL FROM:<a@sender.test>\r\n", "RCPT TO:<b@bench.test>\r\n", "DATA\r\n", body];
const silenceMsMax = 60_000;
let left = messages;
let answered = 0;
const beganMs = performance.now();

/** Any answer but a 2xx or 3xx ends the process, and so does silence. */
function drive(socket: Socket): void {
  let said = -2;
  let answer = "";
  socket.setTimeout(silenceMsMax, () => fail(`no answer within ${silenceMsMax} ms`));
  socket.on("data", (chunk: Buffer) => {
    answer += chunk.toString("latin1");
    if (!/^\d{3}( [^\n]*)?\r?\n$/m.test(answer)) return; // its last line has not come
    if (!/^[23]/.test(answer)) fail(answer);
    answer = "";
    if (socket.writableEnded) return;
    if (said === commands.length - 1) answered += 1;
    if (answered === messages) console.log(Math.round(performance.now() - beganMs));
    said = (said + 1) % commands.length;
    if (said === -1) socket.write("EHLO source.test\r\n");
    else if (said > 0 || left > 0) say(socket, said);
    else socket.end("QUIT\r\n");
  });
  socket.on("end", () => {
    if (!socket.writableEnded) fail("the connection was closed");
  });
  socket.on("error", ({ message }) => fail(message));
}

function say(socket: Socket, at: number): void {
  if (at === 0) left -= 1;
  socket.write(commands[at] ?? "");
}

function fail(why: string): never {
  console.error(`big-source: ${why}`);
  process.exit(1);
}

for (let session = 0; session < sessions; session += 1)
  drive(connect({ port, host: "127.0.0.1", noDelay: true }));
