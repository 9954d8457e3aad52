/** Pure: inputs for a target, made of its tokens and seeds, from a seeded generator. */
import type { Random } from "./random.ts";

/** What has been the end of other servers: line ends of all kinds, dots, NULs, 8-bit, long runs. */
const COMMON: readonly Buffer[] = [
  ..."\r\n|\r|\n|.|\0| |\t|\r\n.\r\n|\n.\n|\r.\r|\r\n.|.\r\n|\r\r\n".split("|"),
  ..."\x7f|\x80|\xff|\xc0\xaf|\xc3\xbc|\xe2\x80\x8b|\xed\xa0\x80|\xf0\x9f\x93\xa7".split("|"),
  ...'<>"\\@:;,()[]=+%/-0a',
].map((text) => Buffer.from(text, "latin1"));

const inputBytesMax = 4096;

export type Material = {
  /** Words of the target's language, as latin1. */
  readonly tokens: readonly string[];
  /** Whole inputs that mean something, as latin1; others are made by damaging them. */
  readonly seeds: readonly string[];
};

/** A new input: a damaged seed, or a heap of tokens. */
export function inputFrom(random: Random, { tokens, seeds }: Material): Buffer {
  const words = tokens.map((text) => Buffer.from(text, "latin1"));
  const pool = [...words, ...words, ...COMMON];
  const begun: Buffer =
    random.below(3) === 0
      ? Buffer.concat(Array.from({ length: random.below(24) }, () => random.pick(pool)))
      : Buffer.from(random.pick(seeds), "latin1");
  let input = begun;
  for (let times = random.below(8); times > 0; times -= 1) input = damaged(input, random, pool);
  return input.subarray(0, inputBytesMax);
}

function damaged(input: Buffer, random: Random, pool: readonly Buffer[]): Buffer {
  const at = random.below(input.length + 1);
  const end = Math.min(input.length, at + 1 + random.below(random.below(4) === 0 ? 64 : 4));
  const head = input.subarray(0, at);
  const tail = input.subarray(at);
  switch (random.below(7)) {
    case 0:
      return Buffer.concat([head, Buffer.from([random.below(256)]), input.subarray(at + 1)]);
    case 1:
      return Buffer.concat([head, input.subarray(end)]);
    case 2:
      return Buffer.concat([head, input.subarray(at, end), tail]);
    case 3: {
      const run = Buffer.alloc(1 + random.below(300), random.pick(pool));
      return Buffer.concat([head, run, tail]);
    }
    case 4:
      return Buffer.concat([head, random.pick(pool), input.subarray(end)]);
    default:
      return Buffer.concat([head, random.pick(pool), tail]);
  }
}
