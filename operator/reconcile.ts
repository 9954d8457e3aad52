/**
 * From what the cluster holds to what the relays serve and the statuses say: one pass. Loop without time of
 * its own: operator.ts says when. Level-triggered: a pass that fails anywhere is simply run again.
 */
import { createHash } from "node:crypto";
import { type Compiled, compile } from "../routing/compile.ts";
import type { Installation } from "../routing/delegation.ts";
import { judge } from "../routing/guard.ts";
import type { RouteId } from "../routing/route.ts";
import { emptyTable, keyCount, type RouteTable, routesOf } from "../routing/table.ts";
import type { LentSecrets } from "./credentials.ts";
import type { OperatorLog } from "./log.ts";
import type { Programmed, RelayAnswer } from "./programmed.ts";
import type { Publisher } from "./publish.ts";
import { snapshotOf } from "./snapshot.ts";
import type { StatusWriter } from "./status-writer.ts";
import type { Store } from "./store.ts";

export type ReconcilerOptions = {
  readonly store: Store;
  readonly secrets: LentSecrets;
  readonly publisher: Publisher;
  readonly programmed: Programmed;
  readonly statuses: StatusWriter;
  readonly installation: Installation;
  readonly log: OperatorLog;
  /** The digest that a person has approved beyond the guard, from the manifest's annotation. */
  readonly approved: () => Promise<string | undefined>;
  /** A warning about a route that its owner should see. */
  readonly event: (
    route: RouteId,
    note: { readonly reason: string; readonly message: string },
  ) => void;
  readonly now: () => number;
};

export type Pass = {
  /** When a hold runs out: run again then. */
  readonly recheckAtMs: number | undefined;
  readonly keys: number;
  readonly compileMs: number;
  /** Why the compiled table was not published; undefined: it is in force. */
  readonly heldBack: string | undefined;
};

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export class Reconciler {
  readonly #options: ReconcilerOptions;
  #table: RouteTable = emptyTable;
  #compiled: Compiled | undefined;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Takes over what an earlier leader has published. Call once, as leader, before the first pass. */
  async restore(): Promise<void> {
    const { publisher, secrets, programmed } = this.#options;
    this.#table = await publisher.restore();
    await secrets.restore();
    programmed.published(publisher.digest, generationsOf(this.#table));
  }

  /** Compiles and publishes. Throws Overtaken, or an Error where the API server refused or did not answer. */
  async publish(relays: number): Promise<Pass> {
    const { store, secrets, publisher, programmed, installation, log, now } = this.#options;
    await secrets.refresh(store.all("Secret"));
    const startedMs = performance.now();
    const input = snapshotOf(store, secrets.contents);
    const compiled = compile({ ...input, previous: this.#table, now: now(), installation, sha256 });
    const compileMs = performance.now() - startedMs;
    this.#compiled = compiled;
    const judgement = judge({ previous: this.#table, next: compiled.table });
    const keys = keyCount(compiled.table);
    const facts = { recheckAtMs: compiled.recheckAtMs, keys, compileMs };
    if (!judgement.publish && (await this.#options.approved()) !== compiled.table.digest) {
      log.heldBack({ why: judgement.why, digest: compiled.table.digest });
      return { ...facts, heldBack: judgement.why };
    }
    const changedSecrets = await secrets.write(secretsOf(compiled.table));
    const changed = await publisher.publish(compiled.table, relays);
    this.#table = compiled.table;
    programmed.published(publisher.digest, generationsOf(compiled.table));
    if (changed)
      log.published({
        digest: publisher.digest,
        keys,
        compileMs: Math.round(compileMs),
        credentials: changedSecrets,
      });
    for (const { route, reason, message } of compiled.events) {
      log.event({ route, reason, message });
      this.#options.event(route, { reason, message });
    }
    return { ...facts, heldBack: undefined };
  }

  /** Writes the statuses that have changed, by what the relays serve now. */
  async report(relays: readonly RelayAnswer[]): Promise<void> {
    const { store, programmed, statuses } = this.#options;
    if (this.#compiled === undefined) return;
    const objects = store.all("MailRoute");
    for (const [id, verdict] of this.#compiled.verdicts) {
      const object = objects.get(id);
      if (object === undefined || verdict.kind === "other-class") continue;
      const served = programmed.served(id, Number(object.metadata?.["generation"]), relays);
      statuses.write({ object, verdict, served });
    }
    await statuses.settled();
  }
}

function generationsOf(table: RouteTable): ReadonlyMap<RouteId, number> {
  return new Map([...routesOf(table)].map(({ id, generation }) => [id, generation]));
}

/** The Secrets that the table's routes name. */
function secretsOf(table: RouteTable): ReadonlySet<string> {
  const used = new Set<string>();
  for (const { tls, auth } of routesOf(table)) {
    for (const ref of [tls.ca, tls.clientCertificate, auth?.credential]) {
      if (ref !== undefined) used.add(ref.secret);
    }
  }
  return used;
}
