/**
 * Runs in a pod: a next hop that prints what it receives and who connects, one JSON object a line; `client` is the
 * address that the newest Received line names. `lmtp` as argument for LMTP; with `flaky` it is away half of the time,
 * from SIGUSR2 to SIGHUP all of it, and of what it takes it leaves some unanswered (`answered` is false then).
 */
import { startSink } from "../ledger/sink.ts";

const isFlaky = process.argv.includes("flaky");
const turnMs = 4000;
/** Of so many messages one is taken and not answered. */
const unansweredEvery = 25;
let received = 0;

const sink = await startSink({
  host: "::",
  port: 2525,
  lmtp: process.argv.includes("lmtp"),
  connected: () => console.log(JSON.stringify({ connectedMs: Date.now() })),
  received({ atMs, recipients, body }) {
    const text = body.toString();
    const number = Number(/^X-Ledger: (\d+)/m.exec(text)?.[1] ?? -1);
    const client = /^Received: from \S+ \(\[(.+?)\]\)/m.exec(text)?.[1];
    received += 1;
    const answered = !isFlaky || received % unansweredEvery !== 0;
    console.log(JSON.stringify({ atMs, recipients, number, client, answered }));
    return answered ? undefined : "drop";
  },
});
process.on("SIGTERM", () => process.exit(0));
if (isFlaky) {
  let isAway = false;
  let turn = 0;
  const look = (): void => void (isAway || turn % 2 === 1 ? sink.down() : sink.up());
  const set = (away: boolean): void => {
    isAway = away;
    look();
  };
  process.on("SIGUSR2", () => set(true));
  process.on("SIGHUP", () => set(false));
  setInterval(() => {
    turn += 1;
    look();
  }, turnMs);
}
