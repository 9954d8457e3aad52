/** Message ids: short, unique over restarts and pods, and in order of time, so that the spool grows at its end. */
const digits = "0123456789abcdefghjkmnpqrstvwxyz";

/** 9 digits of milliseconds, 4 of a counter, 4 at random for each process. */
export function createIds(options: { now(): number; random(): number }): () => string {
  const own = text(Math.floor(options.random() * 32 ** 4), 4);
  let lastMs = 0;
  let count = 0;
  return () => {
    const nowMs = Math.max(options.now(), lastMs);
    count = nowMs === lastMs ? count + 1 : 0;
    lastMs = nowMs;
    return text(nowMs, 9) + text(count, 4) + own;
  };
}

function text(value: number, length: number): string {
  let rest = value;
  let out = "";
  for (let place = 0; place < length; place++) {
    out = digits[rest % 32] + out;
    rest = Math.floor(rest / 32);
  }
  return out;
}
