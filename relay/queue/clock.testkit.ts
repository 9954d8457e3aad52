/** A clock that stands still until it is told to go on, for tests. */
import type { Clock } from "./due.ts";

export function manualClock(): Clock & { advance(ms: number): void; setBack(ms: number): void } {
  let now = 0;
  let timers: { atMs: number; callback: () => void }[] = [];
  return {
    now: () => now,
    wait(ms, callback) {
      const timer = { atMs: now + ms, callback };
      timers.push(timer);
      return () => {
        timers = timers.filter((each) => each !== timer);
      };
    },
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const next = timers.filter(({ atMs }) => atMs <= end).sort((a, b) => a.atMs - b.atMs)[0];
        if (next === undefined) break;
        timers = timers.filter((each) => each !== next);
        now = Math.max(now, next.atMs);
        next.callback();
      }
      now = end;
    },
    /** It shows another time; timers go on as they were. */
    setBack(ms) {
      now -= ms;
      for (const timer of timers) timer.atMs -= ms;
    },
  };
}
