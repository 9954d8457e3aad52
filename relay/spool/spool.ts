/**
 * The spool: messages answered 250 and not yet finished, in LMDB. Adapter: it knows LMDB and nothing of
 * mail's ways. Every promise that `commit` returns resolves after the transaction is on disk (LMDB's data
 * fdatasync, then its meta page by O_DSYNC), and all changes of one commit are one transaction.
 */
import { mkdirSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { type Database, open, type RootDatabase } from "lmdb";
import { assertNever } from "../outcome.ts";
import { identityOf, isOtherFile } from "./identity.ts";
import { acquireLock, type Lock } from "./lock.ts";
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
} from "./records.ts";

export type Change =
  | { readonly kind: "accept"; readonly envelope: Envelope; readonly body: Buffer }
  | { readonly kind: "update"; readonly id: string; readonly state: State }
  | { readonly kind: "remove"; readonly envelope: Envelope };

export type SpoolLimits = {
  readonly bytesMax: number;
  readonly messagesMax: number;
  readonly freeBytesMin: number;
};

export type SpoolOptions = {
  readonly directory: string;
  readonly owner: string;
  readonly limits: SpoolLimits;
};

export type Stored = { readonly envelope: Envelope; readonly state: State };

/** The spool cannot be opened, read or written; the message says what to do. */
export class SpoolError extends Error {
  override readonly name = "SpoolError";
}

/** What a message takes on disk beside its body: records, and pages that are never quite full. */
const messageOverheadBytes = 1024;
/** Its place in envelope and state, with the last reply. */
const recipientOverheadBytes = 512;

function costBytes(bytes: number, recipients: number): number {
  return bytes + messageOverheadBytes + recipients * recipientOverheadBytes;
}
const freeCheckMs = 1000;

export class Spool {
  readonly #root: RootDatabase<Buffer, string>;
  readonly #lock: Lock;
  readonly #bodies: Database<Buffer, string>;
  readonly #envelopes: Database<Buffer, string>;
  readonly #states: Database<Buffer, string>;
  readonly #options: SpoolOptions;
  readonly #meta: Database<Buffer, string>;
  readonly #freeTimer: NodeJS.Timeout;
  #bytes = 0;
  #messages = 0;
  #freeBytes = Number.POSITIVE_INFINITY;

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
    this.#freeTimer = setInterval(() => void this.measureFree(), freeCheckMs);
    this.#freeTimer.unref();
  }

  /** Opens or makes the spool. Throws SpoolError: held by another, another's, or of a newer format. */
  static async open(options: SpoolOptions): Promise<Spool> {
    try {
      mkdirSync(options.directory, { recursive: true, mode: 0o700 });
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
      await spool.measureFree();
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
      const writes = [
        meta.put("format", Buffer.from(String(spoolFormat))),
        meta.put("owner", Buffer.from(this.#options.owner)),
      ];
      await Promise.all(writes);
      return;
    }
    if (Number(format.toString()) > spoolFormat) {
      throw new SpoolError(
        `the spool ${this.#options.directory} has format ${format}, this version reads ${spoolFormat}: use the newer version that wrote it`,
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

  /** From now on the spool is this file. */
  async settle(): Promise<void> {
    const identity = identityOf(this.#options.directory);
    if (this.#meta.get("identity")?.toString() === identity) return;
    await this.#meta.put("identity", Buffer.from(identity));
  }

  /** Whole spool in order of arrival, which it counts: call it once. `corrupt` is called with the id of what cannot be read. */
  *list(corrupt: (id: string) => void): Generator<Stored> {
    for (const { key, value } of this.#envelopes.getRange({ snapshot: false })) {
      const envelope = decodeEnvelope(value);
      if (envelope === undefined || envelope.id !== key) {
        corrupt(key);
        continue;
      }
      const written = this.#states.get(key);
      const state = written === undefined ? freshState(envelope) : decodeState(written, envelope);
      if (state === undefined) {
        corrupt(key);
        continue;
      }
      this.#bytes += costBytes(envelope.bytes, envelope.recipients.length);
      this.#messages += 1;
      yield { envelope, state };
    }
  }

  /** The body as it was accepted; undefined when it is gone or damaged. */
  body(envelope: Envelope): Buffer | undefined {
    const bytes = this.#bodies.get(envelope.id);
    return bytes !== undefined && isIntact(bytes, envelope) ? bytes : undefined;
  }

  /**
   * Makes all changes in one transaction, in the order given; resolves when it is on disk.
   * Rejects with SpoolError when it is not: then none of them holds.
   */
  async commit(changes: readonly Change[]): Promise<void> {
    for (const change of changes) this.#account(change, 1);
    const writes: Promise<boolean>[] = [];
    const batch = this.#root.batch(() => {
      for (const change of changes) writes.push(...this.#put(change));
    });
    // Every promise is awaited: one that rejects with nobody listening would end the process.
    const ended = await Promise.allSettled([batch, ...writes]);
    const failed = ended.find((each) => each.status === "rejected");
    if (failed === undefined) return;
    for (const change of changes) this.#account(change, -1);
    const cause: unknown = failed.reason;
    throw new SpoolError(`the spool could not be written: ${await reasonOf(cause)}`, { cause });
  }

  #put(change: Change): Promise<boolean>[] {
    switch (change.kind) {
      case "accept": {
        const { envelope, body } = change;
        return [
          this.#bodies.put(envelope.id, body),
          this.#envelopes.put(envelope.id, encodeEnvelope(envelope)),
        ];
      }
      case "update":
        return [this.#states.put(change.id, encodeState(change.state))];
      case "remove": {
        const { id } = change.envelope;
        return [this.#bodies.remove(id), this.#envelopes.remove(id), this.#states.remove(id)];
      }
      default:
        return assertNever(change);
    }
  }

  #account(change: Change, sign: 1 | -1): void {
    if (change.kind === "update") return;
    const way = change.kind === "accept" ? sign : -sign;
    this.#bytes += way * costBytes(change.envelope.bytes, change.envelope.recipients.length);
    this.#messages += way;
  }

  /** Is there room for a new message of such a size? States and DSNs are written in any case. */
  hasRoom(bytes: number, recipients = 1): boolean {
    const { bytesMax, messagesMax, freeBytesMin } = this.#options.limits;
    return (
      this.#bytes + costBytes(bytes, recipients) <= bytesMax &&
      this.#messages < messagesMax &&
      this.#freeBytes - bytes >= freeBytesMin
    );
  }

  async measureFree(): Promise<void> {
    try {
      const { bavail, bsize } = await statfs(this.#options.directory);
      this.#freeBytes = bavail * bsize;
    } catch {
      this.#freeBytes = 0; // a volume that does not answer takes no new mail
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  get messages(): number {
    return this.#messages;
  }

  async close(): Promise<void> {
    clearInterval(this.#freeTimer);
    await this.#root.close();
    this.#lock.release();
  }
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

/** LMDB rejects with a word and carries the reason in a promise, which nobody else would catch. */
async function reasonOf(error: unknown): Promise<string> {
  if (!(error instanceof Error)) return String(error);
  if (!("commitError" in error)) return error.message;
  try {
    await error.commitError;
    return error.message;
  } catch (inner) {
    return inner instanceof Error ? inner.message : String(inner);
  }
}
