/**
 * The spool: messages answered 250 and not yet finished, in a journal of synced frames. Adapter: it puts journal,
 * files of big bodies, label and bounds together, and knows nothing of mail's ways. Every promise that `commit`
 * returns resolves after its changes are on disk, and all changes of one commit are one frame: all of them or none.
 */
import { BodyFiles } from "./body-files.ts";
import { type Frame, type Item, makeFrame } from "./frame.ts";
import { isOtherFile } from "./identity.ts";
import { Journal, type Position, segmentBytes as usualSegmentBytes } from "./journal.ts";
import { type Label, saltOf, writeLabel } from "./label.ts";
import type { Lock } from "./lock.ts";
import { labelOf, lockSpool, makeDirectory, type OpeningOptions } from "./opening.ts";
import { Places } from "./places.ts";
import { quarantine } from "./quarantine.ts";
import { type Envelope, encodeEnvelope, freshState, isIntact, type State } from "./records.ts";
import { type Replayed, replay } from "./replay.ts";
import { Room, type SpoolLimits } from "./room.ts";
import { SpoolError, spoolErrorOf } from "./spool-error.ts";
import { Tidier } from "./tidier.ts";

type Accept = { readonly kind: "accept"; readonly envelope: Envelope; readonly body: Buffer };
export type Change =
  | Accept
  | { readonly kind: "update"; readonly id: string; readonly state: State }
  | { readonly kind: "remove"; readonly envelope: Envelope };

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

/** From here on a body is a file of its own: measured, see docs/spool.md. */
const fileBytesMin = 256 * 1024;
const spareSegments = 4;

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

  private constructor(
    options: SpoolOptions,
    parts: Parts,
    read: { readonly label: Label; readonly replayed: Replayed; readonly places: Places },
  ) {
    this.#options = options;
    this.#parts = parts;
    const { label, replayed, places } = read;
    this.#label = label;
    const salt = saltOf(label);
    this.#replayed = replayed;
    this.#putBack = replayed.putBack;
    this.#places = places;
    const { directory, segmentBytes = usualSegmentBytes } = options;
    this.#journal = new Journal({
      ...{ directory, salt, segmentBytes, newest: replayed.newest },
      grown: (segment, bytes) => places.grown(segment, bytes),
    });
    const damaged = replayed.damagedSegments;
    const spareBytes = spareSegments * segmentBytes;
    this.#tidier = new Tidier({
      ...{ journal: this.#journal, places, salt, damaged, spareBytes },
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
      const label = await labelOf(options);
      const places = new Places();
      const replayed = await replay(directory, saltOf(label), places);
      room = new Room(directory, options.limits);
      const parts = { lock, room, files: new BodyFiles(directory) };
      const spool = new Spool(options, parts, { label, replayed, places });
      await room.measure();
      return spool;
    } catch (error) {
      room?.close();
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
   * After `list`: what it could not read goes to `corrupt/`, and files of no message are removed. Rejects with
   * SpoolError where something had to stay where it was.
   */
  async setAside(): Promise<void> {
    const replayed = this.#replayed;
    this.#replayed = undefined;
    if (replayed === undefined) return;
    const { directory } = this.#options;
    try {
      for (const { name, bytes } of replayed.damaged)
        await quarantine(directory, { id: name, journal: bytes }, undefined);
      for (const { envelope, lostState } of replayed.found.values()) {
        if (lostState === undefined) continue;
        const state = Buffer.from(JSON.stringify(lostState));
        await quarantine(directory, { id: envelope.id, state }, undefined);
      }
    } catch (error) {
      throw spoolErrorOf(error);
    }
    await this.#parts.files.removeOthers((id) => this.#places.has(id));
    this.#tidier.release();
  }

  /** Keeps all of a message whose body is damaged in `corrupt/`; false where it could not be written there. */
  async keepDamaged(envelope: Envelope): Promise<boolean> {
    const { id } = envelope;
    const { files } = this.#parts;
    try {
      const body = files.has(id) ? undefined : await this.#inlineBody(envelope);
      const remains = { id, envelope: encodeEnvelope(envelope), body };
      await quarantine(this.#options.directory, remains, files);
      return true;
    } catch {
      return false;
    }
  }

  /** The body as it was accepted. "damaged": gone or changed. "unreadable": perhaps not for ever. */
  async body(envelope: Envelope): Promise<Buffer | "damaged" | "unreadable"> {
    const { id } = envelope;
    const { files } = this.#parts;
    try {
      const bytes = files.has(id) ? await files.read(id) : await this.#inlineBody(envelope);
      return bytes !== undefined && isIntact(bytes, envelope) ? bytes : "damaged";
    } catch {
      return "unreadable";
    }
  }

  /** The body's first octets, `bytesMax` at most: of a big one the rest is neither read nor looked at. */
  async head(envelope: Envelope, bytesMax: number): Promise<Buffer | "damaged" | "unreadable"> {
    const { id } = envelope;
    const { files } = this.#parts;
    if (!files.has(id)) {
      const body = await this.body(envelope);
      return typeof body === "string" ? body : body.subarray(0, bytesMax);
    }
    try {
      const read = await files.readHead(id, bytesMax);
      return read?.bytes === envelope.bytes ? read.head : "damaged";
    } catch {
      return "unreadable";
    }
  }

  /** Undefined where there is none. */
  async #inlineBody({ id, bytes }: Envelope): Promise<Buffer | undefined> {
    for (;;) {
      const place = this.#places.get(id);
      if (place === undefined || isBig(bytes)) return undefined;
      try {
        return await this.#journal.read({ segment: place.segment, at: place.bodyAt }, bytes);
      } catch (error) {
        if (this.#places.get(id) === place) throw error; // else it was moved meanwhile
      }
    }
  }

  /**
   * Makes all changes as one, in the order given; resolves when they are on disk.
   * Rejects with SpoolError when they are not: then none of them holds.
   */
  async commit(changes: readonly Change[]): Promise<void> {
    const { room, files } = this.#parts;
    const accepted = changes.filter((each) => each.kind === "accept");
    for (const { envelope } of accepted) {
      room.take(envelope);
      this.#places.arriving(envelope.id);
    }
    const written: string[] = [];
    let changing: readonly string[] = [];
    try {
      await this.#writeFiles(accepted, written);
      const frame = frameOf(changes);
      changing = changedIn(changes).filter((id) => this.#places.changing(id));
      await this.#journal.append(frame, (position) => this.#settle(changes, frame, position));
    } catch (error) {
      for (const { envelope } of accepted) room.give(envelope);
      for (const id of written) await files.remove(id);
      throw spoolErrorOf(error);
    } finally {
      for (const id of changing) this.#places.changed(id);
      for (const { envelope } of accepted) this.#places.arrived(envelope.id);
    }
    for (const change of changes) {
      if (change.kind !== "remove") continue;
      room.give(change.envelope);
      // Without a sync: what is there again after a crash is removed at the start.
      if (files.has(change.envelope.id)) await files.remove(change.envelope.id);
    }
  }

  /** Says in `written` whose body has become a file. */
  async #writeFiles(accepted: readonly Accept[], written: string[]): Promise<void> {
    for (const { envelope, body } of accepted) {
      if (!isBig(body.length)) continue;
      await this.#parts.files.write(envelope.id, body);
      written.push(envelope.id);
    }
  }

  #settle(changes: readonly Change[], frame: Frame, { segment, at }: Position): void {
    let bodyAt = at + frame.head.length;
    for (const [index, change] of changes.entries()) {
      const itemBytes = frame.itemBytes[index] ?? 0;
      if (change.kind === "update")
        this.#places.updated(change.id, { segment, at, bytes: itemBytes });
      else if (change.kind === "remove") this.#places.removed(change.envelope.id, segment);
      else {
        const { id } = change.envelope;
        const bytes = inlineBytes(change.body);
        this.#places.accepted(id, { segment, at, bodyAt, bytes: bytes + itemBytes });
        bodyAt += bytes;
      }
    }
    this.#tidy(segment);
  }

  /** When another segment has been begun there may be too many; and one in which nothing counts may go. */
  #tidy(segment: number): void {
    const isAnother = segment !== this.#newestSegment;
    this.#newestSegment = segment;
    const hasEmptied = this.#places.takeEmptied();
    if (isAnother || (hasEmptied && this.#places.droppable().some((each) => each !== segment)))
      this.#tidier.wake();
  }

  /** Is there room for a new message of such a size? States and DSNs are written in any case. */
  hasRoom(bytes: number, recipients = 1): boolean {
    return this.#parts.room.has(bytes, recipients);
  }

  /** When nothing else fits: space for states and DSNs; false where it has been given. */
  async openReserve(): Promise<boolean> {
    return await this.#parts.room.openReserve();
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

  async close(): Promise<void> {
    this.#parts.room.close();
    await this.#tidier.stop();
    await this.#journal.close();
    await this.#parts.files.close();
    this.#parts.lock.release();
  }
}

function frameOf(changes: readonly Change[]): Frame {
  const items: Item[] = [];
  const bodies: Uint8Array[] = [];
  for (const change of changes) {
    if (change.kind === "update") items.push({ update: change.id, state: change.state });
    else if (change.kind === "remove") items.push({ remove: change.envelope.id });
    else {
      const bytes = inlineBytes(change.body);
      items.push({ accept: change.envelope, bytes });
      if (bytes > 0) bodies.push(change.body);
    }
  }
  return makeFrame(items, bodies);
}

/** Messages of which something is written that are there already. */
function changedIn(changes: readonly Change[]): string[] {
  return changes.flatMap((each) => {
    if (each.kind === "accept") return [];
    return each.kind === "update" ? each.id : each.envelope.id;
  });
}

function isBig(bytes: number): boolean {
  return bytes >= fileBytesMin;
}

/** What of a body is in the journal. */
function inlineBytes({ length }: Uint8Array): number {
  return isBig(length) ? 0 : length;
}
