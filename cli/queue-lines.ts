/** A queued message as lines for a person. Pure. */
import type { Listed } from "../relay/queue/orders.ts";

export function messageLines(message: Listed, nowMs: number): string[] {
  const { id, sender, arrivedAtMs, bytes, held, recipients } = message;
  const age = ageOf(nowMs - arrivedAtMs);
  return [
    `${id}  ${sizeOf(bytes)}  ${age}  from <${sender}>`,
    ...(held === undefined ? [] : [`    held for ${ageOf(nowMs - held.sinceMs)}: ${held.why}`]),
    ...recipients.map((each) => {
      const way = each.route === "" ? "no route now" : `by ${each.route}`;
      const next = each.underWay
        ? "being delivered now"
        : `next in ${ageOf(Math.max(0, each.dueAtMs - nowMs))}`;
      const tried = each.attempts === 1 ? "1 attempt" : `${each.attempts} attempts`;
      const when = held === undefined ? `, ${next}` : "";
      const last = each.last === "" ? "" : `: ${each.last}`;
      return `    to <${each.address}> ${way}, ${tried}${when}${last}`;
    }),
  ];
}

function sizeOf(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

function ageOf(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)}h`;
  return `${Math.round(seconds / 86_400)}d`;
}
