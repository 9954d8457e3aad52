/** What the fuzzer runs: a check that depends on nothing but its input, and what to make inputs of. */
import type { Material } from "./mutation.ts";
import { Random, seedOf } from "./random.ts";

export type Target = Material & {
  readonly name: string;
  /** Throws where the input shows a defect. The same input always comes to the same. */
  check(input: Buffer): void | Promise<void>;
};

const cutsOfEach = 4;

/** Ways to cut an input: whole, byte by byte, once in the middle of it, and a few at random. */
export function* cutsOf(input: Buffer): Generator<readonly Buffer[]> {
  yield [Buffer.from(input)];
  yield Array.from(input, (byte) => Buffer.from([byte]));
  const random = new Random(seedOf(input));
  for (let times = 0; times < cutsOfEach; times += 1) {
    const longest = random.pick([2, 5, 40, 400]);
    const pieces: Buffer[] = [];
    for (let at = 0; at < input.length; ) {
      const end = at + 1 + random.below(longest);
      // A copy: what takes a piece may move its bytes.
      pieces.push(Buffer.from(input.subarray(at, end)));
      at = end;
    }
    yield pieces;
  }
}
