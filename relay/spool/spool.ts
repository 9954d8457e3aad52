/**
 * The spool: messages answered 250 and not yet finished, in a journal of synced frames. Adapter: it puts journal,
 * files of big bodies, label and bounds together, and knows nothing of mail's ways. Every promise that `commit`
 * returns resolves after its changes are on disk, and all changes of one commit are one frame: all of them or none.
 */
import { BodyFiles } from "./body-files.ts";
import { type Accept, type Change, changedIn, type FileNames, frameOf, isBig } from "./changes.ts";
import type { Frame } from "./frame.ts";
import { isOtherFile } from "./identity.ts";
import { Journal, type Position, segmentBytes as usualSegmentBytes } from "./journal.ts";
import { inThisFormat, type Label, markersOf, writeLabel } from "./label.ts";
import type { Lock } from "./lock.ts";
import { labelOf, lockSpool, makeDirectory, type OpeningOptions } from "./opening.ts";
import { Places } from "./places.ts";
import { quarantine } from "./quarantine.ts";
import {
  type Envelope,
  encodeEnvelope,
  freshState,
  isIntact,
  type State,
  spoolFormat,
} from "./records.ts";
import { type Replayed, refuseNewer, replay } from "./replay.ts";
import { Room, type SpoolLimits } from "./room.ts";
import { isFull, SpoolError, spoolErrorOf } from "./spool-error.ts";
import { Tidier } from "./tidier.ts";
import { UnderWay } from "./under-way.ts";

export type SpoolOptions = OpeningOptions & {
  readonly limits: SpoolLimits;
  /** Of the journal. Tests have small ones. */
  readonly segmentBytes?: number;
};

export type Stored = {
  readonly envelope: Envelope;
  readonly state: State;
  /** The state could not be read: nobody knows who has got the message already. */
  readonly isStateLost?: true;
};

const slackSegments = 4;

type Parts = {
  readonly lock: Lock;
  readonly files: BodyFiles;
  readonly room: Room;
};

export class Spool {
  readonly #options: SpoolOptions;
  readonly #parts: Parts;
  #label: Label;
  readonly #places: Places;
  readonly #journal: Journal;
  readonly #tidier: Tidier;
  /** Until `setAside`. */
  #replayed: Replayed | undefined;
  readonly #putBack: ReadonlyMap<number, string>;
  #newestSegment = 0;
  /** What changes files, and is not the journal's or the tidier's: `close` waits for it. */
  readonly #underWay = new UnderWay();
  #dropping: Promise<boolean> | undefined;

  private constructor(
    options: SpoolOptions,
    parts: Parts,
    read: { readonly label: Label; readonly replayed: Replayed; readonly places: Places },
  ) {
    this.#options = options;
    this.#parts = parts;
    const { label, replayed, places } = read;
    this.#label = label;
    const markers = markersOf(label);
    this.#replayed = replayed;
    this.#putBack = replayed.putBack;
    this.#places = places;
    const { directory, segmentBytes = usualSegmentBytes } = options;
    this.#journal = new Journal({
      ...{ directory, markers, segmentBytes, newest: replayed.newest },
      grown: (segment, bytes) => places.grown(segment, bytes),
    });
    const damaged = replayed.damagedSegments;
    const slackBytes = slackSegments * segmentBytes;
    this.#tidier = new Tidier({
      ...{ journal: this.#journal, places, markers, damaged, slackBytes },
      mayMove: () => parts.room.hasReserve,
    });
  }

  /** Opens or makes the spool. Throws SpoolError: held by another, another's, of a newer format, or unreadable. */
  static async open(options: SpoolOptions): Promise<Spool> {
    const { directory } = options;
    makeDirectory(directory);
    const lock = lockSpool(directory);
    let room: Room | undefined;
    try {
      const found = await labelOf(options);
      if (found.format < spoolFormat) await refuseNewer(directory, markersOf(found));
      const places = new Places();
      const replayed = await replay(directory, markersOf(found), places);
      const label = inThisFormat(found, replayed.newest);
      // A segment must not have a number of format 1, also where all of those are gone.
      const newest = Math.max(replayed.newest, label.unnumbered ?? 0);
      if (label !== found) await writeLabel(directory, label);
      room = new Room(directory, options.limits);
      const parts = { lock, room, files: new BodyFiles(directory, places.files) };
      const read = { label, replayed: { ...replayed, newest }, places };
      const spool = new Spool(options, parts, read);
      await room.measure();
      return spool;
    } catch (error) {
      await room?.close();
      lock.release();
      if (error instanceof SpoolError) throw error;
      throw new SpoolError(
        `cannot open the spool ${directory}: is the volume read-only, full or failing?`,
        { cause: error },
      );
    }
  }

  /**
   * Whether something in it is another file than the one that was written: a copy that was put back, of which nobody
   * knows what has been delivered since. So until `settle`.
   */
  isPutBack(): boolean {
    const { adopted = {} } = this.#label;
    return [...this.#putBack].some(([number, identity]) => {
      const known = adopted[number];
      return known === undefined || isOtherFile(known, identity);
    });
  }

  /** No relay may use it any more: what it would take would go with the volume. */
  async retire(): Promise<void> {
    await this.#relabel({ ...this.#label, retired: true });
  }

  /** It stays, after all. */
  async reinstate(): Promise<void> {
    const { retired: _, ...rest } = this.#label;
    await this.#relabel(rest);
  }

  /** What was put back is the spool from now on. Rejects with SpoolError where that could not be written. */
  async settle(): Promise<void> {
    if (!this.isPutBack()) return;
    await this.#relabel({ ...this.#label, adopted: Object.fromEntries(this.#putBack) });
  }

  async #relabel(label: Label): Promise<void> {
    try {
      await writeLabel(this.#options.directory, label);
      this.#label = label;
    } catch (error) {
      throw spoolErrorOf(error);
    }
  }

  /**
   * What was there at the start, in order of arrival; it is counted: call it once, before anything is committed.
   * `corrupt` is called with the name of what cannot be read; `setAside` then moves that away.
   */
  *list(corrupt: (id: string) => void): Generator<Stored> {
    const replayed = this.#replayed;
    if (replayed === undefined) return;
    for (const { name } of replayed.damaged) corrupt(name);
    const all = [...replayed.found.values()];
    all.sort((a, b) => a.envelope.arrivedAtMs - b.envelope.arrivedAtMs);
    for (const { envelope, state = freshState(envelope), lostState } of all) {
      this.#parts.room.take(envelope);
      if (lostState === undefined) yield { envelope, state };
      else {
        corrupt(envelope.id);
        yield { envelope, state, isStateLost: true };
      }
    }
  }

  /**
   * After `list`: what it could not read goes to `corrupt/`, and files of no message are spare from now on. Rejects with
   * SpoolError where something had to stay where it was.
   */
  async setAside(): Promise<void> {
    await this.#underWay.run(() => this.#setAside());
  }

  async #setAside(): Promise<void> {
    const replayed = this.#replayed;
    this.#replayed = undefined;
    if (replayed === undefined) return;
    const { directory } = this.#options;
    try {
      for (const { name, bytes } of replayed.damaged)
        await quarantine(directory, { id: name, journal: bytes });
      for (const { envelope, lostState } of replayed.found.values()) {
        if (lostState === undefined) continue;
        const state = Buffer.from(JSON.stringify(lostState));
        await quarantine(directory, { id: envelope.id, state });
      }
    } catch (error) {
      throw spoolErrorOf(error);
    }
    await this.#parts.files.releaseOthers(this.#places.files);
    this.#tidier.release();
  }

  /** Keeps all of a message whose body is damaged in `corrupt/`; false where it could not be written there. */
  async keepDamaged(envelope: Envelope): Promise<boolean> {
    return await this.#underWay.run(() => this.#keepDamaged(envelope)).catch(() => false);
  }

  async #keepDamaged(envelope: Envelope): Promise<boolean> {
    const { id, bytes } = envelope;
    const { files } = this.#parts;
    const name = this.#places.get(id)?.file;
    const isStillOurs = (): boolean => this.#places.get(id)?.file === name;
    const body = await this.#inlineBody(envelope);
    const remains = { id, envelope: encodeEnvelope(envelope), body };
    const file = name == null ? undefined : { files, name, bytes, isStillOurs };
    await quarantine(this.#options.directory, remains, file);
    return true;
  }

  /** The body as it was accepted. "damaged": gone or changed. "unreadable": perhaps not for ever. */
  async body(envelope: Envelope): Promise<Buffer | "damaged" | "unreadable"> {
    const name = this.#places.get(envelope.id)?.file;
    try {
      const body = await (name == null
        ? this.#inlineBody(envelope)
        : this.#parts.files.read(name, envelope.bytes));
      return body !== undefined && isIntact(body, envelope) ? body : "damaged";
    } catch {
      return "unreadable";
    }
  }

  /** The body's first octets, `bytesMax` at most. All of it is read: only by all of it can be told whose it is. */
  async head(envelope: Envelope, bytesMax: number): Promise<Buffer | "damaged" | "unreadable"> {
    const body = await this.body(envelope);
    return typeof body === "string" ? body : body.subarray(0, bytesMax);
  }

  /** Undefined where there is none in the journal. */
  async #inlineBody({ id, bytes }: Envelope): Promise<Buffer | undefined> {
    for (;;) {
      const place = this.#places.get(id);
      if (place === undefined || place.file !== undefined) return undefined;
      const reading = this.#journal.read({ segment: place.segment, at: place.bodyAt }, bytes);
      const body = await reading.catch((error: unknown) => error);
      if (this.#places.get(id) !== place) continue; // it was moved meanwhile, and this written over
      if (!Buffer.isBuffer(body)) throw body;
      return body;
    }
  }

  /**
   * Makes all changes as one, in the order given; resolves when they are on disk.
   * Rejects with SpoolError when they are not: then none of them holds.
   */
  async commit(changes: readonly Change[]): Promise<void> {
    await this.#underWay.run(() => this.#commit(changes));
  }

  async #commit(changes: readonly Change[]): Promise<void> {
    const { room, files } = this.#parts;
    const accepted = changes.filter((each) => each.kind === "accept");
    for (const { envelope } of accepted) {
      room.take(envelope);
      this.#places.arriving(envelope.id);
    }
    const written = new Map<string, string>();
    const released: string[] = [];
    let changing: readonly string[] = [];
    try {
      await this.#writeFiles(accepted, written);
      const frame = frameOf(changes, written);
      changing = changedIn(changes).filter((id) => this.#places.changing(id));
      await this.#journal.append(frame, (position) => {
        released.push(...this.#filesOfRemoved(changes));
        this.#settle(changes, { frame, written }, position);
      });
    } catch (error) {
      for (const { envelope } of accepted) room.give(envelope);
      for (const name of written.values()) await files.remove(name);
      const refusal = spoolErrorOf(error);
      // Who has more than new mail to write opens the reserve, and tries again.
      if (isFull(refusal) && accepted.length === changes.length) await this.#dropSpares();
      throw refusal;
    } finally {
      for (const id of changing) this.#places.changed(id);
      for (const { envelope } of accepted) this.#places.arrived(envelope.id);
    }
    for (const change of changes) if (change.kind === "remove") room.give(change.envelope);
    for (const name of released) await files.release(name);
  }

  /** Says in `written` which files the big bodies are. */
  async #writeFiles(accepted: readonly Accept[], written: Map<string, string>): Promise<void> {
    for (const each of accepted) {
      const { id } = each.envelope;
      if (this.#places.has(id)) throw new Error(`${id} is there already`);
      if (isBig(each)) written.set(id, await this.#parts.files.write(each.body));
    }
  }

  #filesOfRemoved(changes: readonly Change[]): string[] {
    return changes.flatMap((each) =>
      each.kind === "remove" ? (this.#places.get(each.envelope.id)?.file ?? []) : [],
    );
  }

  #settle(
    changes: readonly Change[],
    { frame, written }: { readonly frame: Frame; readonly written: FileNames },
    { segment, at }: Position,
  ): void {
    let bodyAt = at + frame.head.length;
    for (const [index, change] of changes.entries()) {
      const itemBytes = frame.itemBytes[index] ?? 0;
      if (change.kind === "update")
        this.#places.updated(change.id, { segment, at, bytes: itemBytes });
      else if (change.kind === "remove") this.#places.removed(change.envelope.id, segment);
      else {
        const { id } = change.envelope;
        const file = written.get(id);
        const bytes = file === undefined ? change.body.length : 0;
        this.#places.accepted(id, { segment, at, bodyAt, bytes: bytes + itemBytes, file });
        bodyAt += bytes;
      }
    }
    this.#tidy(segment);
  }

  /** A segment was begun: there may be too many. One was emptied, or the mail in a damaged one changed: it may go. */
  #tidy(segment: number): void {
    const isAnother = segment !== this.#newestSegment;
    this.#newestSegment = segment;
    const hasEmptied = this.#places.takeEmptied();
    const mayDrop = hasEmptied && this.#places.droppable().some((each) => each !== segment);
    if (isAnother || mayDrop || this.#tidier.isUnfinished) this.#tidier.wake();
  }

  /** Is there room for a new message of such a size? States and DSNs are written in any case. */
  hasRoom(bytes: number, recipients = 1): boolean {
    const { room } = this.#parts;
    const has = room.has(bytes, recipients);
    if (!has && room.isShort(bytes)) void this.#dropSpares(); // the next measure sees what they gave
    return has;
  }

  /** When nothing else fits: space for states and DSNs, of spare files and the reserve; false where neither had any. */
  async openReserve(): Promise<boolean> {
    const hasGiven = await this.#dropSpares();
    return hasGiven || (await this.#parts.room.openReserve());
  }

  /** False where there were none. Who asks meanwhile waits for the same. Never rejects. */
  async #dropSpares(): Promise<boolean> {
    this.#dropping ??= this.#underWay
      .run(async () => {
        const ofJournal = await this.#journal.dropSpares();
        return (await this.#parts.files.dropSpares()) || ofJournal;
      })
      .catch(() => false)
      .finally(() => {
        this.#dropping = undefined;
      });
    return await this.#dropping;
  }

  get directory(): string {
    return this.#options.directory;
  }

  get bytes(): number {
    return this.#parts.room.bytes;
  }

  get messages(): number {
    return this.#parts.room.messages;
  }

  /** Nothing is on disk that would be lost with the volume. */
  get isEmpty(): boolean {
    return this.#places.size === 0;
  }

  /** What is under way ends first: with the lock go the files. */
  async close(): Promise<void> {
    await this.#underWay.close();
    await this.#parts.room.close();
    await this.#tidier.stop();
    await this.#journal.close();
    await this.#parts.files.close();
    this.#parts.lock.release();
  }
}
