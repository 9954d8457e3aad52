/** What observer.ts has seen, in order: for the tests to wait for, and to look back at. State without I/O of its own. */

export type Seen =
  | {
      readonly seen: "route";
      /** namespace/name, as of relays and installations. */
      readonly id: string;
      readonly uid: string;
      readonly generation: number;
      /** By type: "status reason: message", and the generation that it is about. */
      readonly conditions: Readonly<Record<string, { says: string; generation: number }>>;
    }
  | { readonly seen: "route gone"; readonly id: string }
  /** All that there are. */
  | { readonly seen: "routes listed"; readonly ids: readonly string[] }
  | { readonly seen: "table"; readonly installation: string; readonly digest: string }
  | {
      readonly seen: "relay";
      readonly id: string;
      readonly ready: boolean;
      readonly address: string;
    }
  /** A relay that was ready when it was asked, `atMs`, answered that it serves this table. */
  | {
      readonly seen: "serves";
      readonly id: string;
      readonly digest: string;
      readonly stale: boolean;
    };

export type Sighting = Seen & { readonly atMs: number };
export type Sighted<Kind extends Seen["seen"]> = Extract<Seen, { seen: Kind }> & {
  readonly atMs: number;
};

export class Sightings {
  readonly #all: Sighting[] = [];
  readonly #routes = new Map<string, Sighted<"route">>();
  readonly #relays = new Map<string, Sighted<"relay">>();
  #waiting: (() => void)[] = [];

  add(sighting: Sighting): void {
    this.#all.push(sighting);
    if (sighting.seen === "route") this.#routes.set(sighting.id, sighting);
    if (sighting.seen === "route gone") this.#routes.delete(sighting.id);
    if (sighting.seen === "relay") this.#relays.set(sighting.id, sighting);
    if (sighting.seen === "routes listed") {
      for (const id of this.#routes.keys()) if (!sighting.ids.includes(id)) this.#routes.delete(id);
    }
    for (const look of this.#waiting) look();
  }

  /** As last seen; undefined where it is not there. */
  route(id: string): Sighted<"route"> | undefined {
    return this.#routes.get(id);
  }

  relay(id: string): Sighted<"relay"> | undefined {
    return this.#relays.get(id);
  }

  all<Kind extends Seen["seen"]>(kind: Kind): readonly Sighted<Kind>[] {
    return this.#all.filter((each) => each.seen === kind) as Sighted<Kind>[];
  }

  /** Looks again with each sighting, until there is an answer. Rejects with `what` where there is none in time. */
  until<T>(look: () => T | undefined, limit: { msMax: number; what: () => string }): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting = this.#waiting.filter((each) => each !== again);
      };
      const again = (): void => {
        const found = look();
        if (found === undefined) return;
        end();
        resolve(found);
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`not within ${limit.msMax} ms: ${limit.what()}`));
      }, limit.msMax);
      this.#waiting.push(again);
      again();
    });
  }
}
