/** Runs in a pod: numbered messages at a steady rate until its input ends; then what became of each, as JSON. */
import { once } from "node:events";
import { startGenerator } from "../ledger/generator.ts";

const [host = "", domain = "", messagesPerSecond = "60"] = process.argv.slice(2);
const generator = startGenerator({
  host,
  port: () => 25,
  connections: 4,
  messagesPerSecond: Number(messagesPerSecond),
  bodyBytes: 500,
  address: () => ({ to: `user@${domain}`, domain }),
});
console.log("sending");
process.stdin.resume();
await once(process.stdin, "end");
await generator.stop();
console.log(JSON.stringify(generator.entries));
