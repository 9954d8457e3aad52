/** Adapter: the code that plain-lines.wat is the text of, loaded once; what it works on is shared by all who call it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Of WebAssembly, what is used here: Node's types have none of it. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

type Exports = {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly skipPlain: (at: number, end: number) => number;
};

const code = readFileSync(join(import.meta.dirname, "plain-lines.wasm"));
const { memory, skipPlain } = new WebAssembly.Instance(new WebAssembly.Module(code))
  .exports as Exports;

/** So many octets fit in at a time. */
export const partBytesMax = 65_536;

/** What is gone over. */
export const octets: Uint8Array = new Uint8Array(memory.buffer, 0, partBytesMax);

/** Where the present line began in `octets`, below 0 where that was before; and the octets of the longest so far. */
export const line: Int32Array = new Int32Array(memory.buffer, partBytesMax, 2);

/**
 * The place of the first CR, LF or NUL in [at, end) of `octets` that is not of a CRLF in there; `end` where there is
 * none. Lines that end on the way are in `line` then.
 */
export { skipPlain };
