/** Log lines, gathered and written together. Adapter over a write that costs a system call. */

const gatherMs = 10;
const gatheredMax = 65_536;

/** Gathers lines for a few ms and writes them together: a system call a line is too dear. `flush` before the end. */
export function bufferedWriter(write: (text: string) => void): {
  write(text: string): void;
  flush(): void;
} {
  let waiting = "";
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    const text = waiting;
    waiting = "";
    clearTimeout(timer);
    timer = undefined;
    if (text !== "") write(text);
  };
  return {
    write(text) {
      waiting += text;
      if (waiting.length > gatheredMax) flush();
      else timer ??= setTimeout(flush, gatherMs);
    },
    flush,
  };
}
