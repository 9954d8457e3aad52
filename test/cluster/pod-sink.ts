/**
 * Runs in a pod: a next hop that prints what it receives and who connects, one JSON object a line; `client` is the
 * address that the newest Received line names. `lmtp` as argument for LMTP.
 */
import { startSink } from "../ledger/sink.ts";

await startSink({
  host: "::",
  port: 2525,
  lmtp: process.argv.includes("lmtp"),
  connected: () => console.log(JSON.stringify({ connectedMs: Date.now() })),
  received({ atMs, recipients, body }) {
    const text = body.toString();
    const number = Number(/^X-Ledger: (\d+)/m.exec(text)?.[1] ?? -1);
    const client = /^Received: from \S+ \(\[(.+?)\]\)/m.exec(text)?.[1];
    console.log(JSON.stringify({ atMs, recipients, number, client }));
    return undefined;
  },
});
process.on("SIGTERM", () => process.exit(0));
