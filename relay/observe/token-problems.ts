/**
 * Token endpoints that give out nothing, as problems that a person must mend: told when one fails, mended with the
 * next token for the same Secret, and forgotten where nobody has asked for hours. State and one timer.
 */
import type { TokenEvent } from "../delivery/options.ts";
import type { ProblemBoard } from "./problem-board.ts";

export type TokenProblemsOptions = {
  readonly now: () => number;
  readonly board: Pick<ProblemBoard, "set">;
};

const forgottenAfterMs = 2 * 3_600_000;
const problemsMax = 100;

export class TokenProblems {
  readonly #options: TokenProblemsOptions;
  readonly #failing = new Map<string, { readonly text: string; readonly lastMs: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: TokenProblemsOptions) {
    this.#options = options;
  }

  told({ endpoint, secret, result, why = "" }: TokenEvent): void {
    const where = `${secret} at ${endpoint}`;
    if (result === "fetched") {
      if (!this.#failing.delete(where)) return;
    } else {
      const text = `no access token (auth.oauth2): ${why}; mail of the routes that need it waits`;
      this.#failing.set(where, { text, lastMs: this.#options.now() });
    }
    this.#tell();
  }

  #tell(): void {
    const beforeMs = this.#options.now() - forgottenAfterMs;
    for (const [where, { lastMs }] of this.#failing) {
      if (lastMs <= beforeMs) this.#failing.delete(where);
    }
    const failing = [...this.#failing].slice(0, problemsMax);
    const problems = failing.map(([where, { text }]) => ({ where, text }));
    this.#options.board.set("tokens", problems);
    clearTimeout(this.#timer);
    if (failing.length > 0) this.#timer = setTimeout(() => this.#tell(), forgottenAfterMs).unref();
  }
}
