/** The loop of the fuzzer: inputs for each target in turn, until the end or the first finding. */
import { inputFrom } from "./mutation.ts";
import { Random } from "./random.ts";
import { failureOf, shrunk } from "./shrink.ts";
import type { Target } from "./target.ts";

export type Finding = {
  readonly target: string;
  readonly input: Buffer;
  readonly error: Error;
};

export type Run = {
  /** Inputs tried, by name of the target. */
  readonly tried: ReadonlyMap<string, number>;
  readonly finding: Finding | undefined;
};

/** Goes on while `goesOn` says so, which is asked once for each round of all targets. */
export async function fuzz(options: {
  readonly targets: readonly Target[];
  readonly seed: number;
  readonly goesOn: (rounds: number) => boolean;
}): Promise<Run> {
  const random = new Random(options.seed);
  const tried = new Map<string, number>();
  for (let rounds = 0; options.goesOn(rounds); rounds += 1) {
    for (const target of options.targets) {
      const input = inputFrom(random, target);
      tried.set(target.name, (tried.get(target.name) ?? 0) + 1);
      if ((await failureOf(target, input)) === undefined) continue;
      const smallest = await shrunk(target, input);
      const error = await failureOf(target, smallest);
      if (error === undefined) throw new Error(`${target.name} fails and then does not`);
      return { tried, finding: { target: target.name, input: smallest, error } };
    }
  }
  return { tried, finding: undefined };
}
