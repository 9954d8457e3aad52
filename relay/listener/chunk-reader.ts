/**
 * Pure: the chunks of BDAT (RFC 3030 section 2), which end by count and by nothing that stands in them. No
 * byte of a chunk is looked at for what it means, and none behind it is touched.
 */
import { KeptBody } from "./kept-body.ts";
import type { Body } from "./reception.ts";

/** What BDAT announces. */
export type ChunkSize = {
  readonly octets: number;
  readonly part: "more" | "last";
};

/** Reads what follows "BDAT "; `undefined` where nobody can say how many octets follow. */
export function parseChunkSize(argument: string): ChunkSize | undefined {
  const [, octets, last] = /^(\d+)( +LAST)?$/i.exec(argument) ?? [];
  if (octets === undefined) return undefined;
  return { octets: Number(octets), part: last === undefined ? "more" : "last" };
}

export class ChunkReader {
  readonly kept: KeptBody;
  #left = 0;

  constructor(options: { readonly bytesMax: number }) {
    this.kept = new KeptBody(options);
  }

  /** Another chunk begins, of so many octets. */
  expect(octets: number): void {
    this.#left = octets;
  }

  /** As `DataScanner.feed`: the offset of the first byte behind the chunk, or -1 while it goes on. */
  feed(input: Buffer, from: number): number {
    const end = Math.min(input.length, from + this.#left);
    this.#left -= end - from;
    this.kept.keep(input.subarray(from, end));
    return this.#left === 0 ? end : -1;
  }

  /** The whole message; call once, after the last chunk. */
  body(): Body {
    this.kept.end();
    return this.kept.body();
  }
}
