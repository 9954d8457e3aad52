/**
 * The spool: messages answered 250 and not yet finished, in LMDB. Adapter: it knows LMDB and nothing of
 * mail's ways. Every promise that `commit` returns resolves after the transaction is on disk (LMDB's data
 * fdatasync, then its meta page by O_DSYNC), and all changes of one commit are one transaction.
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { assertNever } from "../outcome.ts";
import { BodyFiles } from "./body-files.ts";
import { identityOf, isOtherFile } from "./identity.ts";
import { acquireLock, type Lock } from "./lock.ts";
import { quarantine, type Remains } from "./quarantine.ts";
import {
  decodeEnvelope,
  decodeState,
  type Envelope,
  encodeEnvelope,
  encodeState,
  freshState,
  isIntact,
  type State,
  spoolFormat,
  spoolFormatWithoutFiles,
} from "./records.ts";
import { Room, type SpoolLimits } from "./room.ts";
import { heard, SpoolError, spoolErrorOf } from "./spool-error.ts";
import { syncDirectorySync, tryWriting } from "./synced.ts";

export type Change =
  | { readonly kind: "accept"; readonly envelope: Envelope; readonly body: Buffer }
  | { readonly kind: "update"; readonly id: string; readonly state: State }
  | { readonly kind: "remove"; readonly envelope: Envelope };

export type SpoolOptions = {
  readonly directory: string;
  readonly owner: string;
  /** It takes no mail, and may open what no relay may use any more. */
  readonly isDrain?: true;
  readonly limits: SpoolLimits;
  /** LMDB takes no more writes in this process: its last commit failed half-way. */
  readonly broken?: () => void;
};

export type Stored = {
  readonly envelope: Envelope;
  readonly state: State;
  /** The state could not be read: nobody knows who has got the message already. */
  readonly isStateLost?: true;
};

/** From here on a body is a file of its own: measured, see docs/spool.md. */
const fileBytesMin = 256 * 1024;
/** What an empty spool needs, and some more. */
const trialBytes = 256 * 1024;
const brokenWords = "an earlier commit failed half-way: the relay must be started again";

export class Spool {
  readonly #root: RootDatabase<Buffer, string>;
  readonly #lock: Lock;
  readonly #bodies: Database<Buffer, string>;
  readonly #envelopes: Database<Buffer, string>;
  readonly #states: Database<Buffer, string>;
  readonly #options: SpoolOptions;
  readonly #meta: Database<Buffer, string>;
  readonly #files: BodyFiles;
  readonly #room: Room;
  readonly #broken = Promise.withResolvers<"broken">();
  #isBroken = false;
  /** What `list` found that cannot be read. */
  readonly #damaged: Remains[] = [];

  private constructor(options: SpoolOptions, lock: Lock) {
    this.#options = options;
    this.#lock = lock;
    // overlappingSync off: put() then resolves only when its transaction is on disk, and a failed
    // sync rejects it. With it on, the flush promise has no way to reject.
    this.#root = open<Buffer, string>({
      path: options.directory,
      overlappingSync: false,
      // On, the library begins a batch of its own each turn, whose promise nobody could catch.
      eventTurnBatching: false,
      noSubdir: false,
      maxDbs: 8,
      encoding: "binary",
    });
    this.#bodies = this.#root.openDB<Buffer, string>("bodies", { encoding: "binary" });
    this.#envelopes = this.#root.openDB<Buffer, string>("envelopes", { encoding: "binary" });
    this.#states = this.#root.openDB<Buffer, string>("states", { encoding: "binary" });
    this.#meta = this.#root.openDB<Buffer, string>("meta", { encoding: "binary" });
    this.#files = new BodyFiles(options.directory);
    // LMDB syncs its file and not the name of it.
    syncDirectorySync(options.directory);
    this.#room = new Room(options.directory, options.limits);
  }

  /** Opens or makes the spool. Throws SpoolError: held by another, another's, or of a newer format. */
  static async open(options: SpoolOptions): Promise<Spool> {
    try {
      const made = mkdirSync(options.directory, { recursive: true, mode: 0o700 });
      if (made !== undefined) syncDirectorySync(dirname(made));
    } catch (error) {
      throw new SpoolError(
        `cannot make the spool directory ${options.directory}: make it, or let the relay write there`,
        { cause: error },
      );
    }
    const lock = tryLock(options.directory);
    if (lock === undefined) {
      throw new SpoolError(
        `the spool ${options.directory} is in use by another relay: stop that one, or give this one a spool.directory of its own`,
      );
    }
    let spool: Spool;
    try {
      // LMDB's library may end the process where its very first writes fail.
      if (!existsSync(join(options.directory, "data.mdb")))
        await tryWriting(join(options.directory, "trial"), trialBytes);
      spool = new Spool(options, lock);
    } catch (error) {
      lock.release();
      throw new SpoolError(
        `cannot open the spool ${options.directory}: is the volume read-only or full?`,
        { cause: error },
      );
    }
    try {
      await spool.#claim();
      await spool.#room.measure();
    } catch (error) {
      await spool.close();
      throw error;
    }
    return spool;
  }

  async #claim(): Promise<void> {
    const meta = this.#meta;
    const format = meta.get("format");
    if (format === undefined) {
      await this.#write(() => [
        this.#putFormat(spoolFormatWithoutFiles),
        meta.put("owner", Buffer.from(this.#options.owner)),
      ]);
      return;
    }
    if (Number(format.toString()) > spoolFormat) {
      throw new SpoolError(
        `the spool ${this.#options.directory} has format ${format}, this version reads ${spoolFormat}: use the newer version that wrote it`,
      );
    }
    if (meta.get("retired") !== undefined && this.#options.isDrain !== true) {
      throw new SpoolError(
        `the spool ${this.#options.directory} has been drained, and its volume is being deleted: delete the claim, so that another is made`,
      );
    }
    const owner = meta.get("owner")?.toString();
    if (owner !== this.#options.owner) {
      throw new SpoolError(
        `the spool ${this.#options.directory} belongs to "${owner}", this relay is "${this.#options.owner}": give it its own, or set spool.owner to "${owner}" to take it over`,
      );
    }
  }

  /**
   * Whether this is another file than the one that was written: a copy that was put back, of which nobody knows
   * what has been delivered since. So until `settle`.
   */
  isPutBack(): boolean {
    const mark = this.#meta.get("identity")?.toString();
    return mark !== undefined && isOtherFile(mark, identityOf(this.#options.directory));
  }

  /** No relay may use it any more: what it would take would go with the volume. */
  async retire(): Promise<void> {
    await this.#write(() => [this.#meta.put("retired", Buffer.from("1"))]);
  }

  /** It stays, after all. */
  async reinstate(): Promise<void> {
    await this.#write(() => [this.#meta.remove("retired")]);
  }

  /** From now on the spool is this file. Rejects with SpoolError where that could not be written. */
  async settle(): Promise<void> {
    const identity = identityOf(this.#options.directory);
    if (this.#meta.get("identity")?.toString() === identity) return;
    await this.#write(() => [this.#meta.put("identity", Buffer.from(identity))]);
  }

  /**
   * Whole spool in order of arrival, which it counts: call it once. `corrupt` is called with the id of what cannot be
   * read; `setAside` then moves that away.
   */
  *list(corrupt: (id: string) => void): Generator<Stored> {
    for (const { key, value } of this.#envelopes.getRange({ snapshot: false })) {
      const envelope = decodeEnvelope(value);
      const written = this.#states.get(key);
      if (envelope === undefined || envelope.id !== key) {
        corrupt(key);
        this.#damaged.push({ id: key, envelope: value, state: written });
        continue;
      }
      const state = written === undefined ? freshState(envelope) : decodeState(written, envelope);
      this.#room.take(envelope);
      if (state === undefined) {
        corrupt(key);
        this.#damaged.push({ id: key, state: written });
        yield { envelope, state: freshState(envelope), isStateLost: true };
      } else yield { envelope, state };
    }
  }

  /**
   * After `list`: what it could not read goes to `corrupt/`, and files of no message are removed. Rejects with
   * SpoolError where something had to stay where it was.
   */
  async setAside(): Promise<void> {
    const { directory } = this.#options;
    try {
      for (const remains of this.#damaged.splice(0)) {
        const { id, envelope } = remains;
        if (envelope === undefined) {
          await quarantine(directory, remains, undefined);
          continue;
        }
        await quarantine(directory, { ...remains, body: this.#bodies.get(id) }, this.#files);
        await this.#transact(() => [this.#bodies.remove(id), ...this.#removeRecords(id)]);
      }
    } catch (error) {
      throw await spoolErrorOf(error);
    }
    await this.#files.removeOthers((id) => this.#envelopes.doesExist(id));
    if (this.#files.size === 0 && Number(this.#meta.get("format")) !== spoolFormatWithoutFiles)
      await this.#write(() => [this.#putFormat(spoolFormatWithoutFiles)]);
  }

  /** Keeps all of a message whose body is damaged in `corrupt/`; false where it could not be written there. */
  async keepDamaged({ id }: Envelope): Promise<boolean> {
    const remains: Remains = {
      id,
      envelope: this.#envelopes.get(id),
      state: this.#states.get(id),
      body: this.#bodies.get(id),
    };
    return await quarantine(this.#options.directory, remains, this.#files).then(
      () => true,
      () => false,
    );
  }

  /** The body as it was accepted. "damaged": gone or changed. "unreadable": perhaps not for ever. */
  async body(envelope: Envelope): Promise<Buffer | "damaged" | "unreadable"> {
    const { id } = envelope;
    try {
      const bytes = this.#files.has(id) ? await this.#files.read(id) : this.#bodies.get(id);
      return bytes !== undefined && isIntact(bytes, envelope) ? bytes : "damaged";
    } catch {
      return "unreadable";
    }
  }

  /** The body's first octets, `bytesMax` at most: of a big one the rest is neither read nor looked at. */
  async head(envelope: Envelope, bytesMax: number): Promise<Buffer | "damaged" | "unreadable"> {
    const { id } = envelope;
    if (!this.#files.has(id)) {
      const body = await this.body(envelope);
      return typeof body === "string" ? body : body.subarray(0, bytesMax);
    }
    try {
      const read = await this.#files.readHead(id, bytesMax);
      return read?.bytes === envelope.bytes ? read.head : "damaged";
    } catch {
      return "unreadable";
    }
  }

  /**
   * Makes all changes in one transaction, in the order given; resolves when it is on disk.
   * Rejects with SpoolError when it is not: then none of them holds.
   */
  async commit(changes: readonly Change[]): Promise<void> {
    for (const change of changes) if (change.kind === "accept") this.#room.take(change.envelope);
    const written: string[] = [];
    try {
      const big = changes.filter((each) => each.kind === "accept" && isBig(each.body));
      if (big.length > 0) await this.#writeFiles(big, written);
      await this.#transact(() => changes.flatMap((change) => this.#put(change)));
    } catch (error) {
      for (const change of changes) if (change.kind === "accept") this.#room.give(change.envelope);
      // After half a commit nobody knows whether a record names them: then the next start decides.
      if (!this.#isBroken) for (const id of written) await this.#files.remove(id);
      throw await spoolErrorOf(error);
    }
    for (const change of changes) {
      if (change.kind !== "remove") continue;
      this.#room.give(change.envelope);
      // Without a sync: what is there again after a crash is removed at the start.
      if (this.#files.has(change.envelope.id)) await this.#files.remove(change.envelope.id);
    }
  }

  async #writeFiles(changes: readonly Change[], written: string[]): Promise<void> {
    for (const change of changes) {
      if (change.kind !== "accept") continue;
      await this.#files.write(change.envelope.id, change.body);
      written.push(change.envelope.id);
    }
  }

  async #write(put: () => Promise<boolean>[]): Promise<void> {
    try {
      await this.#transact(put);
    } catch (error) {
      throw await spoolErrorOf(error);
    }
  }

  async #transact(put: () => Promise<boolean>[]): Promise<void> {
    if (this.#isBroken) throw new Error(brokenWords);
    let writes: Promise<boolean>[] = [];
    const batch = this.#root.batch(() => {
      writes = put();
    });
    // Every promise is awaited: one that rejects with nobody listening would end the process.
    const settled = Promise.allSettled([batch, ...writes]).then(heard);
    const ended = await Promise.race([settled, this.#broken.promise]);
    if (ended === "broken") throw new Error(brokenWords);
    const failed = ended.find((each) => each.status === "rejected");
    if (failed === undefined) return;
    this.#examine();
    throw failed.reason;
  }

  /** After a failed commit: where its meta page was not written LMDB is at an end, and answers no commit any more. */
  #examine(): void {
    try {
      this.#root.transactionSync(() => undefined);
    } catch {
      if (this.#isBroken) return;
      this.#isBroken = true;
      this.#broken.resolve("broken");
      this.#options.broken?.();
    }
  }

  #put(change: Change): Promise<boolean>[] {
    switch (change.kind) {
      case "accept": {
        const { envelope, body } = change;
        const record = this.#envelopes.put(envelope.id, encodeEnvelope(envelope));
        return this.#files.has(envelope.id)
          ? [record, this.#putFormat(spoolFormat)]
          : [record, this.#bodies.put(envelope.id, body)];
      }
      case "update":
        return [this.#states.put(change.id, encodeState(change.state))];
      case "remove": {
        const { id } = change.envelope;
        const gone = this.#removeRecords(id);
        if (!this.#files.has(id)) return [this.#bodies.remove(id), ...gone];
        // The last file: an older version may read the spool again.
        return this.#files.size > 1 ? gone : [...gone, this.#putFormat(spoolFormatWithoutFiles)];
      }
      default:
        return assertNever(change);
    }
  }

  #removeRecords(id: string): Promise<boolean>[] {
    return [this.#envelopes.remove(id), this.#states.remove(id)];
  }

  /** Always written: what is read may be about to change. */
  #putFormat(format: number): Promise<boolean> {
    return this.#meta.put("format", Buffer.from(String(format)));
  }

  /** Is there room for a new message of such a size? States and DSNs are written in any case. */
  hasRoom(bytes: number, recipients = 1): boolean {
    return this.#room.has(bytes, recipients);
  }

  /** When nothing else fits: space for states and DSNs; false where it has been given. */
  async openReserve(): Promise<boolean> {
    return await this.#room.openReserve();
  }

  get bytes(): number {
    return this.#room.bytes;
  }

  get messages(): number {
    return this.#room.messages;
  }

  async close(): Promise<void> {
    this.#room.close();
    if (!this.#isBroken) await this.#root.close(); // it would wait for ever
    this.#lock.release();
  }
}

function isBig(body: Uint8Array): boolean {
  return body.length >= fileBytesMin;
}

function tryLock(directory: string): Lock | undefined {
  try {
    return acquireLock(directory);
  } catch (error) {
    throw new SpoolError(`cannot lock the spool ${directory}: is the volume read-only or full?`, {
      cause: error,
    });
  }
}
