/**
 * Goes over whole lines of ordinary mail by the WebAssembly whose text is plain-lines.wat: adapter. All who call it
 * share one memory, so nothing may come between `load` and the calls that follow. On a processor without SIMD nothing
 * is gone over, and who asks looks at each octet himself.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Of WebAssembly, what is used here: Node's types have none of it. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** Where the present line began, below 0 where that was in an earlier part; and the octets of the longest so far. */
export type LinesSeen = { lineStart: number; longest: number };

export type PlainLines = {
  /** The octets of the calls that follow, `partBytesMax` at most. */
  readonly load: (part: Uint8Array) => void;
  /**
   * The place of the first CR, LF or NUL in [at, end) that is not of a CRLF in there; `end` where there is none. The
   * lines that end on the way are added to `seen`.
   */
  readonly skip: (at: number, end: number, seen: LinesSeen) => number;
};

export const partBytesMax = 65_536;

/** Never fails: where it cannot be had, nothing is skipped. */
export function loadPlainLines(
  code: Uint8Array = readFileSync(join(import.meta.dirname, "plain-lines.wasm")),
): PlainLines {
  try {
    return assembled(code);
  } catch {
    return { load: () => undefined, skip: (at) => at };
  }
}

function assembled(code: Uint8Array): PlainLines {
  const { memory, skipPlain } = new WebAssembly.Instance(new WebAssembly.Module(code)).exports as {
    readonly memory: { readonly buffer: ArrayBuffer };
    readonly skipPlain: (at: number, end: number) => number;
  };
  const octets = new Uint8Array(memory.buffer, 0, partBytesMax);
  const numbers = new Int32Array(memory.buffer, partBytesMax, 2);
  return {
    load: (part) => octets.set(part),
    skip(at, end, seen) {
      numbers[0] = seen.lineStart;
      numbers[1] = seen.longest;
      const stop = skipPlain(at, end);
      seen.lineStart = numbers[0];
      seen.longest = numbers[1];
      return stop;
    },
  };
}
