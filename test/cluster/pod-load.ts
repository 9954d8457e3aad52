/**
 * Runs in a pod of its own: numbered messages at a steady rate, to the domains in turn, and prints what became of
 * each, one JSON object a line. SIGTERM stops it, and it says when; a second one ends it.
 */
import { startGenerator } from "../ledger/generator.ts";

const [host = "", messagesPerSecond = "", ...domains] = process.argv.slice(2);
const generator = startGenerator({
  host,
  port: () => 25,
  connections: 8,
  messagesPerSecond: Number(messagesPerSecond),
  messagesPerConnectionMax: 20,
  bodyBytes: 500,
  address(number) {
    const domain = domains[number % domains.length] ?? "";
    return { to: `user@${domain}`, domain };
  },
  ended: (entry) => console.log(JSON.stringify(entry)),
});
process.once("SIGTERM", () => {
  process.once("SIGTERM", () => process.exit(0));
  void generator.stop().then(() => console.log(JSON.stringify({ endedMs: Date.now() })));
});
setInterval(() => {}, 1e9);
