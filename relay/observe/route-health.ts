/**
 * Whether the hosts of each route take mail: pure state, fed with every attempt. The operator asks for it and
 * writes it as the condition `Delivering`. A route is failing when its hosts have refused or deferred and have
 * taken nothing since. So many are kept at most, shared out among namespaces; of whom more are failing is told.
 */
import type { DeferCause, Outcome } from "../outcome.ts";

export type Failing = { readonly route: string; readonly why: string };

type Trouble = {
  /** In words that stay the same for as long as it lasts: they become part of a status. */
  readonly why: string;
  readonly sinceMs: number;
  /** Of the route when it began: a route that was edited starts anew. */
  readonly generation: number;
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
const routesMaxDefault = 1000;

export type RouteHealthOptions = {
  /** Answers for the table in force; undefined where a route is not in it. */
  readonly generationOf: (route: string) => number | undefined;
  readonly routesMax?: number;
};

export class RouteHealth {
  readonly #troubles = new Map<string, Trouble>();
  /** How many of them each namespace has. */
  readonly #counts = new Map<string, number>();
  /** Namespaces, of routes in the table, of which not every failing one is kept; and when one was left out last. */
  readonly #untold = new Map<string, number>();
  readonly #generationOf: (route: string) => number | undefined;
  readonly #routesMax: number;

  constructor({ generationOf, routesMax = routesMaxDefault }: RouteHealthOptions) {
    this.#generationOf = generationOf;
    this.#routesMax = routesMax;
  }

  attempted(route: string, outcome: Outcome, nowMs: number): void {
    if (outcome.kind === "delivered") this.#drop(route);
    if (outcome.kind !== "deferred") return;
    const said = words[outcome.cause];
    if (said === undefined) return;
    const generation = this.#generationOf(route);
    if (generation === undefined) return;
    const known = this.#troubles.get(route);
    if (known !== undefined && known.generation === generation) {
      known.lastMs = nowMs;
      known.attempts += attemptWeight(outcome.cause);
      return;
    }
    if (known === undefined && !this.#hasRoom(route, nowMs)) return;
    const why = `${outcome.hop ?? "its host"} ${said}`;
    const attempts = attemptWeight(outcome.cause);
    this.#drop(route); // that of an older generation
    this.#troubles.set(route, { why, sinceMs: nowMs, generation, lastMs: nowMs, attempts });
    const namespace = namespaceOf(route);
    this.#counts.set(namespace, (this.#counts.get(namespace) ?? 0) + 1);
  }

  #drop(route: string): void {
    if (!this.#troubles.delete(route)) return;
    const namespace = namespaceOf(route);
    const left = (this.#counts.get(namespace) ?? 0) - 1;
    if (left > 0) this.#counts.set(namespace, left);
    else this.#counts.delete(namespace);
  }

  /** Namespaces of whose routes more may be failing than `failing` tells, by name. */
  untold(nowMs: number): readonly string[] {
    for (const [namespace, lastMs] of this.#untold)
      if (nowMs - lastMs > knownMsMax) this.#untold.delete(namespace);
    return [...this.#untold.keys()].sort();
  }

  /** Whether another route can be kept: at the bound one of the namespace goes that has most, be it its own. */
  #hasRoom(route: string, nowMs: number): boolean {
    if (this.#troubles.size < this.#routesMax) return true;
    const own = namespaceOf(route);
    let [most, count] = [own, 0];
    for (const [namespace, each] of this.#counts)
      if (each > count) [most, count] = [namespace, each];
    const isOwn = (this.#counts.get(own) ?? 0) + 1 >= count;
    this.#untold.set(isOwn ? own : most, nowMs);
    if (isOwn) return false;
    const last = [...this.#troubles.keys()].findLast((each) => namespaceOf(each) === most);
    if (last !== undefined) this.#drop(last);
    return true;
  }

  /** Those that are failing now, by name. */
  failing(nowMs: number): readonly Failing[] {
    const found: Failing[] = [];
    for (const [route, { why, sinceMs, generation, lastMs, attempts }] of this.#troubles) {
      const current = this.#generationOf(route);
      if (current !== generation || nowMs - lastMs > knownMsMax) this.#drop(route);
      else if (attempts >= 1 && nowMs - sinceMs >= sinceMsMin) found.push({ route, why });
    }
    return found.sort((a, b) => (a.route < b.route ? -1 : 1));
  }
}

/** A route is "namespace/name". */
function namespaceOf(route: string): string {
  return route.slice(0, route.indexOf("/"));
}

function attemptWeight(cause: DeferCause): number {
  return 1 / (attemptsMin[cause] ?? 1);
}
