/** Log lines, gathered and written together. Adapter over a write that costs a system call. */

/** Gathers lines and writes them once per turn of the event loop: a system call a line is too dear. */
export function bufferedWriter(write: (text: string) => void): {
  write(text: string): void;
  flush(): void;
} {
  let waiting = "";
  const flush = (): void => {
    const text = waiting;
    waiting = "";
    if (text !== "") write(text);
  };
  return {
    write(text) {
      if (waiting === "") setImmediate(flush);
      waiting += text;
    },
    flush,
  };
}
