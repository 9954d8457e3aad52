/** Log lines, gathered and written together. Adapter over a write that costs a system call. */

const spanMs = 10;
/** Then what comes waits for the span's end. */
const writesPerSpanMax = 5;

/** Writes what a turn of the event loop brings, and under load what 10 ms bring: a call a line is too dear. */
export function bufferedWriter(write: (text: string) => void): {
  write(text: string): void;
  /** Before the end. */
  flush(): void;
} {
  let waiting = "";
  let spanEndsMs = 0;
  let writes = 0;
  const flush = (): void => {
    const text = waiting;
    waiting = "";
    if (text !== "") write(text);
  };
  const schedule = (): void => {
    const nowMs = performance.now();
    if (nowMs >= spanEndsMs) {
      spanEndsMs = nowMs + spanMs;
      writes = 0;
    }
    writes += 1;
    if (writes <= writesPerSpanMax) setImmediate(flush);
    else setTimeout(flush, spanEndsMs - nowMs);
  };
  return {
    write(text) {
      if (waiting === "") schedule();
      waiting += text;
    },
    flush,
  };
}
