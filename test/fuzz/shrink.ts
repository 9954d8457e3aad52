/** Makes a failing input smaller, as long as it fails. */
import type { Target } from "./target.ts";

const triesMax = 2000;

export async function failureOf(target: Target, input: Buffer): Promise<Error | undefined> {
  try {
    // A copy: a check may change what it is given.
    await target.check(Buffer.from(input));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** Leaves pieces out, from halves down to single bytes, until none can be spared. */
export async function shrunk(target: Target, failing: Buffer): Promise<Buffer> {
  let input = failing;
  let tries = 0;
  for (let size = Math.ceil(input.length / 2); size >= 1; size = size > 1 ? size >> 1 : 0) {
    for (let at = 0; at < input.length && tries < triesMax; tries += 1) {
      const less = Buffer.concat([input.subarray(0, at), input.subarray(at + size)]);
      if ((await failureOf(target, less)) === undefined) at += size;
      else input = less;
    }
  }
  return input;
}
