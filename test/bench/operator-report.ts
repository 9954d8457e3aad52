/** The operator's benchmark as a table for people. */
import type { Result } from "./operator.ts";
import type { Phase } from "./operator-traffic.ts";

const verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];

export function report(result: Result): void {
  const { first, changes, restart, peakMb, relayBlockMs, phases } = result;
  const line = (text: string, value: number, unit: string): void =>
    console.log(`${text.padEnd(56)} ${value.toFixed(unit === "s" ? 1 : 0).padStart(8)} ${unit}`);
  console.log(`${result.routes} MailRoutes with ${result.domains} domains`);
  console.log(`load of the machine before: ${result.loadBefore.toFixed(1)}`);
  line("to create them (20 at once)", result.createMs / 1000, "s");
  line("from the operator's start to its first table (goal 20)", first.publishedMs / 1000, "s");
  line("  until both relays serve it", first.relaysMs / 1000, "s");
  line("  until every MailRoute is Programmed=True", first.programmedMs / 1000, "s");
  line(`one change at both relays, median of ${changes.count}`, changes.relaysMsMedian, "ms");
  line("  at most (goal 1000)", changes.relaysMsMax, "ms");
  line("  until it is Programmed=True, median", changes.programmedMsMedian, "ms");
  line("  at most", changes.programmedMsMax, "ms");
  line("another operator's first pass on the same table", restart.firstPassMs / 1000, "s");
  line("operator's memory, peak of the start (goal 400)", peakMb.first, "MB");
  line("  peak of all", peakMb.all, "MB");
  line("  peak of the other operator", peakMb.restarted, "MB");
  line("relay's longest event-loop block, the whole table", relayBlockMs.whole, "ms");
  line("  one change", relayBlockMs.change, "ms");
  line("  nothing changed", relayBlockMs.quiet, "ms");
  console.log(
    "\nthe operator, by phase (writes without those of the Lease; none in quiet and restart)",
  );
  const columns = ["seconds", "CPU s", ...verbs, "writes", "leases", "KB sent", "KB received"];
  console.log(
    [`${""}`.padEnd(10), ...columns.map((each) => each.padStart(each.length + 2))].join(""),
  );
  for (const [name, phase] of Object.entries(phases)) console.log(row(name, phase, columns));
}

function row(name: string, phase: Phase, columns: readonly string[]): string {
  const { seconds, cpuSeconds, requests, bytes } = phase;
  const cells = [
    seconds.toFixed(0),
    cpuSeconds.toFixed(2),
    ...verbs.map((verb) => String(requests.byVerb[verb] ?? 0)),
    String(requests.writes),
    String(requests.leases),
    (bytes.sent / 1000).toFixed(0),
    (bytes.received / 1000).toFixed(0),
  ];
  const shown = cells.map((cell, at) => cell.padStart((columns[at] ?? "").length + 2));
  return [name.padEnd(10), ...shown].join("");
}
