/**
 * Whether the hosts of each route take mail: pure state, fed with every attempt. The operator asks for it and
 * writes it as the condition `Delivering`. A route is failing when its hosts have refused or deferred and have
 * taken nothing since.
 */
import type { DeferCause, Outcome } from "../outcome.ts";

export type Failing = { readonly route: string; readonly why: string };

type Trouble = {
  /** In words that stay the same for as long as it lasts: they become part of a status. */
  readonly why: string;
  readonly sinceMs: number;
  /** Of the route when it began: a route that was edited starts anew. */
  readonly generation: number | undefined;
  lastMs: number;
  attempts: number;
};

/** What a cause says of the host; causes that are nobody's or the sender's fault say nothing. */
const words: Readonly<Partial<Record<DeferCause, string>>> = {
  connect: "cannot be connected to",
  tls: "does not come to terms over TLS",
  timeout: "does not answer in time",
  protocol: "does not keep to SMTP",
  auth: "refuses our login",
  dns: "has no address",
  credentials: "waits for credentials",
  reply: "defers our mail",
};
/** Hosts defer single messages for good reasons (greylisting): only many in a row are trouble. */
const attemptsMin: Readonly<Partial<Record<DeferCause, number>>> = { reply: 5 };
const sinceMsMin = 10_000;
/** Without another attempt nothing is known any more. */
const knownMsMax = 2 * 3_600_000;
const routesMax = 1000;

export class RouteHealth {
  readonly #troubles = new Map<string, Trouble>();
  readonly #generationOf: (route: string) => number | undefined;

  /** `generationOf` answers for the table in force; undefined where a route is not in it. */
  constructor(generationOf: (route: string) => number | undefined) {
    this.#generationOf = generationOf;
  }

  attempted(route: string, outcome: Outcome, nowMs: number): void {
    if (outcome.kind === "delivered") this.#troubles.delete(route);
    if (outcome.kind !== "deferred") return;
    const said = words[outcome.cause];
    if (said === undefined) return;
    const generation = this.#generationOf(route);
    const known = this.#troubles.get(route);
    if (known !== undefined && known.generation === generation) {
      known.lastMs = nowMs;
      known.attempts += attemptWeight(outcome.cause);
      return;
    }
    if (known === undefined && this.#troubles.size >= routesMax) return;
    const why = `${outcome.hop ?? "its host"} ${said}`;
    const attempts = attemptWeight(outcome.cause);
    this.#troubles.set(route, { why, sinceMs: nowMs, generation, lastMs: nowMs, attempts });
  }

  /** Those that are failing now, by name. */
  failing(nowMs: number): readonly Failing[] {
    const found: Failing[] = [];
    for (const [route, { why, sinceMs, generation, lastMs, attempts }] of this.#troubles) {
      const current = this.#generationOf(route);
      if (current === undefined || current !== generation || nowMs - lastMs > knownMsMax)
        this.#troubles.delete(route);
      else if (attempts >= 1 && nowMs - sinceMs >= sinceMsMin) found.push({ route, why });
    }
    return found.sort((a, b) => (a.route < b.route ? -1 : 1));
  }
}

function attemptWeight(cause: DeferCause): number {
  return 1 / (attemptsMin[cause] ?? 1);
}
