/**
 * What a person must mend now, of all parts of the relay: told once in the log when it appears and when it is gone,
 * counted in the metrics, and listed by /readyz.
 */
import type { Problem } from "../table/worker-messages.ts";
import type { Log } from "./log.ts";

/** Who may complain; each replaces its own list only. */
export type ProblemSource =
  | "routes"
  | "tls"
  | "users"
  | "listeners"
  | "queue"
  | "handover"
  | "tokens";

export class ProblemBoard {
  readonly #bySource = new Map<ProblemSource, readonly Problem[]>();
  readonly #log: Pick<Log, "problem" | "mended">;

  constructor(log: Pick<Log, "problem" | "mended">) {
    this.#log = log;
  }

  get all(): readonly Problem[] {
    return [...this.#bySource.values()].flat();
  }

  set(source: ProblemSource, now: readonly Problem[]): void {
    const before = this.#bySource.get(source) ?? [];
    this.#bySource.set(source, now);
    const known = new Set(before.map(({ where, text }) => `${where} ${text}`));
    for (const problem of now) {
      if (!known.has(`${problem.where} ${problem.text}`)) this.#log.problem(problem);
    }
    const still = new Set(now.map(({ where }) => where));
    for (const where of new Set(before.map((each) => each.where))) {
      if (!still.has(where)) this.#log.mended({ where });
    }
  }
}
