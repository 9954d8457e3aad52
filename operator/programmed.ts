/**
 * Whether the ready relays serve what a generation of a route became: pure state. A fact, not a hope: each
 * ready relay is asked which table it serves, and each generation knows in which table it was first published.
 */
import type { RouteId } from "../routing/route.ts";
import { notPublished, type Served } from "./status.ts";

/** What one ready relay answered; `digest` undefined: it did not. */
export type RelayAnswer = {
  readonly pod: string;
  readonly digest: string | undefined;
  /** Routes whose hosts take no mail from it, each with the reason. */
  readonly failing: ReadonlyMap<string, string>;
  /** Namespaces of whose routes it knows not all that are failing. */
  readonly untold?: ReadonlySet<string>;
};

const noRelays: Served = {
  status: "Unknown",
  reason: "NoRelays",
  message: "no relay is ready, so none can be asked",
};
const unpublished: Served = {
  status: "False",
  reason: notPublished,
  message: "not in the published route table yet",
};
const onAll: Served = {
  status: "True",
  reason: "Programmed",
  message: "every ready relay serves it",
};

/** Tables that are told apart; a relay further behind counts as serving none of them. */
const tablesMax = 1000;

export class Programmed {
  /** When a table was published, by digest. */
  readonly #order = new Map<string, number>();
  readonly #first = new Map<RouteId, { readonly generation: number; readonly table: number }>();
  #count = 0;
  /** What was said of each table to the last relays: the same words are the same object. */
  #said: { readonly relays: readonly RelayAnswer[]; readonly byTable: Map<number, Served> } = {
    relays: [],
    byTable: new Map(),
  };

  /** A table is in force now, with these generations. Call it for the standing one at start, too. */
  published(digest: string, generations: ReadonlyMap<RouteId, number>): void {
    this.#count += 1;
    this.#said = { relays: [], byTable: new Map() };
    // The same table again is as new as ever: relays that serve it serve the latest.
    this.#order.delete(digest);
    this.#order.set(digest, this.#count);
    for (const [id, generation] of generations) {
      if (this.#first.get(id)?.generation !== generation)
        this.#first.set(id, { generation, table: this.#count });
    }
    for (const id of this.#first.keys()) if (!generations.has(id)) this.#first.delete(id);
    for (const oldest of this.#order.keys()) {
      if (this.#order.size <= tablesMax) break;
      this.#order.delete(oldest);
    }
  }

  /** `generation` is the one that the verdict is about. */
  served(id: RouteId, generation: number, relays: readonly RelayAnswer[]): Served {
    if (relays.length === 0) return noRelays;
    const first = this.#first.get(id);
    if (first === undefined || first.generation !== generation) return unpublished;
    if (this.#said.relays !== relays) this.#said = { relays, byTable: new Map() };
    const said = this.#said.byTable.get(first.table) ?? this.#servedSince(first.table, relays);
    this.#said.byTable.set(first.table, said);
    return said;
  }

  #servedSince(table: number, relays: readonly RelayAnswer[]): Served {
    const behind = relays.filter(({ digest }) => (this.#order.get(digest ?? "") ?? 0) < table);
    if (behind.length === 0) return onAll;
    const names = behind.slice(0, 3).map(({ pod }) => pod);
    const more = behind.length > names.length ? " and others" : "";
    return {
      status: "False",
      reason: "RelaysBehind",
      message: `not served yet by ${names.join(", ")}${more}`,
    };
  }
}
