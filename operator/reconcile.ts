/**
 * From what the cluster holds to what the relays serve and the statuses say: one pass. Loop without time of
 * its own: operator.ts says when. Level-triggered: a pass that fails anywhere is simply run again.
 */
import { createHash } from "node:crypto";
import { type Compiled, compile } from "../routing/compile.ts";
import type { Installation } from "../routing/delegation.ts";
import { judge, lossesOf } from "../routing/guard.ts";
import type { CredentialRef, RouteId } from "../routing/route.ts";
import { emptyTable, keyCount, type RouteTable, routesOf, signersIn } from "../routing/table.ts";
import type { LentSecrets } from "./credentials.ts";
import { deliveringOf } from "./delivering.ts";
import { nextGrantStatus } from "./grant-status.ts";
import { Hold } from "./hold.ts";
import type { Lender, Lent } from "./lend.ts";
import type { OperatorLog } from "./log.ts";
import type { Losses } from "./losses.ts";
import type { Programmed, RelayAnswer } from "./programmed.ts";
import type { Publisher } from "./publish.ts";
import { snapshotOf } from "./snapshot.ts";
import { nextStatus } from "./status.ts";
import type { StatusWriter } from "./status-writer.ts";
import type { Store } from "./store.ts";

export type ReconcilerOptions = {
  readonly store: Store;
  readonly secrets: LentSecrets;
  readonly lender: Lender;
  readonly publisher: Publisher;
  readonly programmed: Programmed;
  readonly statuses: StatusWriter;
  readonly installation: Installation;
  readonly log: OperatorLog;
  /** A warning about a route that its owner should see. */
  readonly event: (
    route: RouteId,
    note: { readonly reason: string; readonly message: string },
  ) => void;
  readonly now: () => number;
  /** Of the process, not of this reconciler: a pass that failed is no reason to let go of what is held back. */
  readonly memory: GuardMemory;
};

export type GuardMemory = {
  readonly losses: Losses;
  /** While tables are held back. */
  hold: Hold | undefined;
};

export type Pass = {
  /** When a hold or a credential runs out: run again then. */
  readonly recheckAtMs: number | undefined;
  readonly keys: number;
  readonly compileMs: number;
  /** Why the compiled table was not published; undefined: it is in force. */
  readonly heldBack: string | undefined;
};

/** What compile said, and the specs that it said it about. */
type Judged = { readonly compiled: Compiled; readonly specs: ReadonlyMap<string, unknown> };

/** How often an approval is looked for while a table is held back. */
const approvalMs = 5000;
const lossesShownMax = 20;
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export class Reconciler {
  readonly #options: ReconcilerOptions;
  #table: RouteTable = emptyTable;
  #judged: Judged | undefined;
  /** What the last report was made of: statuses say the same while each of these is the same. */
  #reported: readonly unknown[] = [];
  #crowdedOut = "";
  readonly #toldGrants = new Set<string>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Takes over what an earlier leader has published. Call once, as leader, before the first pass. */
  async restore(): Promise<void> {
    const { publisher, secrets, lender, programmed } = this.#options;
    this.#table = await publisher.restore();
    const lent = await lender.restore();
    const named = new Set(credentialsOf(this.#table).map(({ version }) => version));
    secrets.restore(lent.filter(({ version }) => named.has(version)));
    programmed.published(publisher.digest, generationsOf(this.#table));
    const { memory, now } = this.#options;
    if (memory.losses.isNew) memory.losses.published(this.#table, { nowMs: now(), isMeant: true });
    if (publisher.occasion !== undefined) memory.hold ??= new Hold(publisher.occasion);
  }

  /** Compiles and publishes. Throws Overtaken, or an Error where the API server refused or did not answer. */
  async publish(relays: number): Promise<Pass> {
    const { store, secrets, publisher, programmed, installation, log, now } = this.#options;
    await secrets.refresh(store.all("Secret"));
    const startedMs = performance.now();
    const input = snapshotOf(store, secrets.contents);
    const compiled = compile({ ...input, previous: this.#table, now: now(), installation, sha256 });
    const compileMs = performance.now() - startedMs;
    const specs = new Map<string, unknown>();
    for (const [id, { spec }] of store.all("MailRoute")) specs.set(id, spec);
    const keys = keyCount(compiled.table);
    this.#tellGrants(compiled);
    const { why, isMeant } = await this.#refusal(compiled.table);
    const facts = { keys, compileMs, heldBack: why };
    // The watch of our ConfigMaps brings an approval; should it not run, a look every so often finds it.
    let waitUntilMs = why === undefined ? undefined : now() + approvalMs;
    if (why === undefined && !isMeant)
      waitUntilMs = this.#options.memory.losses.waitUntilMs(
        { previous: this.#table, next: compiled.table },
        now(),
        (route) => specs.has(route),
      );
    if (waitUntilMs !== undefined) {
      this.#judged = { compiled, specs };
      await this.#putBack(relays);
      if (why !== undefined) await publisher.markHolding(this.#options.memory.hold?.occasion ?? "");
      return { ...facts, recheckAtMs: waitUntilMs };
    }
    const lent = await this.#lend(compiled.table);
    const changed = await publisher.publish(compiled.table, relays);
    this.#table = compiled.table;
    this.#options.memory.losses.published(compiled.table, { nowMs: now(), isMeant });
    programmed.published(publisher.digest, generationsOf(compiled.table));
    this.#judged = { compiled, specs };
    if (changed)
      log.published({
        digest: publisher.digest,
        keys,
        compileMs: Math.round(compileMs),
        credentials: lent.changed,
      });
    for (const { route, reason, message } of compiled.events) {
      log.event({ route, reason, message });
      this.#options.event(route, { reason, message });
    }
    const recheckAtMs = earliest(compiled.recheckAtMs, lent.recheckAtMs);
    return { ...facts, recheckAtMs };
  }

  get isHolding(): boolean {
    return this.#options.memory.hold !== undefined;
  }

  /** The table that stands while another is held back, where somebody has deleted some of it. */
  async #putBack(relays: number): Promise<void> {
    const { publisher } = this.#options;
    if (publisher.isIncomplete && this.#table.digest === publisher.digest)
      await publisher.publish(this.#table, relays);
  }

  /** `why` the table waits for a person; undefined: it may be published, as he says where it `isMeant`. */
  async #refusal(
    next: RouteTable,
  ): Promise<{ readonly why: string | undefined; readonly isMeant: boolean }> {
    const { memory, publisher, log, now } = this.#options;
    const previous = this.#table;
    const judgement = judge({ previous, next, isHolding: memory.hold !== undefined });
    const why = judgement.publish ? memory.losses.refusal(next, now()) : judgement.why;
    const isHolding = memory.hold !== undefined;
    if (why !== undefined) {
      const losses = lossesOf({ previous, next });
      memory.hold ??= new Hold();
      const isMeant = memory.hold.covers(await publisher.approved(), losses);
      if (!isMeant) {
        this.#tellHeldBack(memory.hold, why, losses);
        return { why, isMeant };
      }
    }
    memory.hold = undefined;
    if (isHolding) log.released();
    return { why: undefined, isMeant: why !== undefined };
  }

  /** Grants that came from a file have no status: what is wrong with them is in the log, once. */
  #tellGrants({ grantVerdicts }: Compiled): void {
    const { store, log } = this.#options;
    const grants = store.all("MailGrant");
    for (const [name, verdict] of grantVerdicts) {
      if (verdict.kind !== "invalid" || this.#toldGrants.has(name)) continue;
      if (grants.get(name)?.metadata?.["uid"] !== undefined) continue;
      this.#toldGrants.add(name);
      const text = verdict.issues.map(({ path, message }) => `${path}: ${message}`).join("; ");
      log.problem({ where: `MailGrant ${name}`, text });
    }
  }

  /** Once for each loss, not once for each pass. */
  #tellHeldBack(hold: Hold, why: string, losses: ReadonlySet<string>): void {
    const { log, publisher } = this.#options;
    const digest = hold.show(losses);
    const approve = publisher.approveCommand(digest);
    const message = `the guard holds the new route table back, as ${why}; if that is meant: ${approve}`;
    if (hold.message === message) return;
    hold.message = message;
    const shown = [...losses]
      .slice(0, lossesShownMax)
      .map((each) => each.replaceAll("\t", " ").trim());
    log.heldBack({ why, digest, approve, losses: losses.size, some: shown.join("; ") });
  }

  /** Before the table that names them: a relay finds its credentials when it takes the table. */
  async #lend(table: RouteTable): Promise<Lent> {
    const { secrets, lender, log } = this.#options;
    const used = new Set(credentialsOf(table).map(({ secret }) => secret));
    const lent = await lender.write(secrets.entries(used));
    const crowdedOut = lent.crowdedOut.join(", ");
    if (crowdedOut !== this.#crowdedOut && crowdedOut !== "") {
      const text = `no room for ${crowdedOut} in the relays' Secrets: their routes' mail waits`;
      log.problem({ where: "credentials", text });
    }
    this.#crowdedOut = crowdedOut;
    return lent;
  }

  /** Has the statuses written that have changed, by what the relays serve now. */
  report(relays: readonly RelayAnswer[]): void {
    const { store, programmed, statuses } = this.#options;
    if (this.#judged === undefined) return;
    const { compiled, specs } = this.#judged;
    const heldBack = this.#options.memory.hold?.message;
    const basis = [compiled, store.revision, statuses.failures, heldBack, textOf(relays)];
    if (basis.every((each, at) => each === this.#reported[at])) return;
    this.#reported = basis;
    const routes = store.all("MailRoute");
    for (const [id, verdict] of compiled.verdicts) {
      const object = routes.get(id);
      if (object === undefined || verdict.kind === "other-class") continue;
      if (object["spec"] !== specs.get(id)) continue; // edited since: the next pass judges it
      const served = programmed.served(id, Number(object.metadata?.["generation"]), relays);
      const delivering = deliveringOf(id, relays);
      const facts = { verdict, served, delivering, heldBack };
      statuses.write("mailroutes", object, facts, nextStatus);
    }
    const grants = store.all("MailGrant");
    for (const [name, verdict] of compiled.grantVerdicts) {
      const object = grants.get(name);
      if (object === undefined || verdict.kind === "other-class") continue;
      if (object.metadata?.["uid"] === undefined) continue; // of a file: #tellGrants
      statuses.write("mailgrants", object, { verdict }, nextGrantStatus);
    }
  }
}

/** What statuses say depends on nothing else of the relays. */
function textOf(relays: readonly RelayAnswer[]): string {
  return JSON.stringify(
    relays.map(({ pod, digest, failing, untold = [] }) => [pod, digest, [...failing], [...untold]]),
  );
}

function generationsOf(table: RouteTable): ReadonlyMap<RouteId, number> {
  const generations = new Map<RouteId, number>();
  for (const { id, generation } of routesOf(table)) generations.set(id, generation);
  return generations;
}

/** What the table's routes and signers name of Secrets. */
function credentialsOf(table: RouteTable): readonly CredentialRef[] {
  const refs: CredentialRef[] = [];
  for (const { tls, auth } of routesOf(table)) {
    if (tls.ca !== undefined) refs.push(tls.ca);
    if (tls.clientCertificate !== undefined) refs.push(tls.clientCertificate);
    if (auth !== undefined) refs.push(auth.credential);
  }
  for (const { key } of signersIn(table)) if (key !== undefined) refs.push(key);
  return refs;
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}
