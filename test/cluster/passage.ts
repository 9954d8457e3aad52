/**
 * Runs in another network: takes connections at a Unix socket, and passes each on to where its first line says, as
 * JSON: host, port, and localAddress to come from. Adapter; what follows that line is not looked at.
 */
import { connect, createServer, type NetConnectOpts, type Socket } from "node:net";

const [path = ""] = process.argv.slice(2);

createServer((near) => {
  near.on("error", () => {});
  near.once("data", (chunk: Buffer) => {
    near.pause();
    const end = chunk.indexOf("\n");
    const far = connect(JSON.parse(chunk.toString("utf8", 0, end)) as NetConnectOpts);
    far.write(chunk.subarray(end + 1));
    pass(near, far);
    pass(far, near);
  });
}).listen(path);

/** One way: what ends here ends there. */
function pass(from: Socket, to: Socket): void {
  from.on("error", () => {});
  from.on("close", () => to.destroySoon());
  from.pipe(to);
}
