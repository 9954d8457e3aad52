/**
 * Keeps the journal short: drops segments in which nothing counts any more, and writes again, at the journal's end,
 * what still counts in one that is mostly empty. Loop: it runs when it is woken, one segment at a time; where the
 * disk refuses to write or to drop, it moves nothing more until it is woken again. A message is never nowhere: its
 * old place goes when the new is on disk.
 */
import { setImmediate as turn } from "node:timers/promises";
import { type Accepted, type Frame, type Item, makeFrame, type Read, readFrames } from "./frame.ts";
import type { Journal, Position } from "./journal.ts";
import type { Markers } from "./label.ts";
import type { Place, Places } from "./places.ts";
import { checksum } from "./records.ts";

const bodyBytesMax = 1024 * 1024;
/** Of a frame: who looks for one state in it reads all of its head. */
const headBytesMax = 64 * 1024;
/** Then everybody else has a turn. */
const framesPerTurn = 100;
const headBytesPerTurn = 256 * 1024;

export type TidierOptions = {
  readonly journal: Pick<Journal, "append" | "readSegment" | "readHead" | "drop" | "isOpen">;
  readonly places: Places;
  readonly markers: Markers;
  /** The journal is let grow to twice what counts in it and so much more. */
  readonly slackBytes: number;
  /** The volume has room for more than states and reports. */
  readonly mayMove: () => boolean;
};

type Moving = {
  readonly id: string;
  readonly item: Item;
  readonly body: Uint8Array | undefined;
  /** About so much of a head it takes. */
  readonly headBytes: number;
  /** Where it was when it was read. */
  readonly place: Place;
  readonly stateAt: number;
  readonly stateSegment: number | undefined;
};

export class Tidier {
  readonly #options: TidierOptions;
  #running: Promise<void> | undefined;
  /** While it ran, which may have been too soon: see `isUnfinished`. */
  #isWokenAgain = false;
  #isStopped = false;
  /** They stay: what cannot be read in them has not been set aside, or what counts in them could not be read. */
  readonly #stuck: Set<number>;
  /** Written anew however much counts in them, so that their damage is not found again. */
  readonly #damaged = new Set<number>();

  constructor(options: TidierOptions & { readonly damaged: readonly number[] }) {
    this.#options = options;
    this.#stuck = new Set(options.damaged);
  }

  /** What cannot be read has been set aside. */
  release(): void {
    for (const each of this.#stuck) this.#damaged.add(each);
    this.#stuck.clear();
    this.wake();
  }

  wake(): void {
    if (this.#isStopped) return;
    this.#isWokenAgain = this.#running !== undefined;
    this.#running ??= this.#run()
      .catch(() => undefined) // the disk's fault: what is there stays
      .finally(() => {
        this.#running = undefined;
        if (this.#isWokenAgain && this.isUnfinished) this.wake();
      });
  }

  /** Damage that was set aside is still in a segment, as mail in it was just being changed. */
  get isUnfinished(): boolean {
    return this.#damaged.size > 0 && this.#options.mayMove() && this.#damagedWithMail().length > 0;
  }

  /** Goes on only with damaged segments: where they stay, the next start finds their damage again. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { places } = this.#options;
    /** What cannot be dropped now does not hold up what can. */
    const refused = new Set<number>();
    const moved = new Set<number>();
    for (;;) {
      const empty = places
        .droppable()
        .filter((each) => !this.#isStopped || this.#damaged.has(each))
        .find((each) => this.#mayGo(each) && !refused.has(each));
      if (empty !== undefined) {
        if (!(await this.#drop(empty))) refused.add(empty);
        continue;
      }
      // What is just being changed in it stays for now: each is moved once.
      const damaged = this.#options.mayMove() ? this.#damagedWithMail() : [];
      const next = damaged.find((each) => !moved.has(each));
      if (next !== undefined) {
        moved.add(next);
        await this.#move(next);
        continue;
      }
      if (this.#isStopped) return;
      if (refused.size > 0) return; // what is moved leaves a segment behind that could not be dropped either
      const sparse = this.#sparse();
      if (sparse === undefined || !(await this.#move(sparse))) return;
    }
  }

  #damagedWithMail(): number[] {
    const { places } = this.#options;
    return [...this.#damaged].filter((each) => this.#mayGo(each) && places.counts(each));
  }

  #mayGo(number: number): boolean {
    return !this.#options.journal.isOpen(number) && !this.#stuck.has(number);
  }

  #sparse(): number | undefined {
    const { places, slackBytes, mayMove } = this.#options;
    if (!mayMove() || places.bytes <= 2 * places.liveBytes + slackBytes) return undefined;
    return places.sparsest((each) => this.#mayGo(each));
  }

  /**
   * With nothing in it that counts; but the removals of what an older segment still has are carried on. False where
   * that has to wait, or the disk does not let it go. Rejects where nothing can be written.
   */
  async #drop(number: number): Promise<boolean> {
    const { places, journal } = this.#options;
    const removals = places.removalsToCarry(number);
    if (removals === undefined) return false;
    if (removals.length > 0) {
      const items = removals.flatMap(({ ids }) => ids.map((remove): Item => ({ remove })));
      const carried = ({ segment }: Position): void => places.carried(removals, number, segment);
      await journal.append(makeFrame(items, []), carried);
    }
    const isGone = await journal.drop(number).then(
      () => true,
      () => false,
    );
    if (!isGone) return false;
    places.dropped(number);
    this.#damaged.delete(number);
    return true;
  }

  /** False where nothing could be moved now: what is left is just being changed, or cannot be read. */
  async #move(number: number): Promise<boolean> {
    const { journal, markers } = this.#options;
    const segment = await this.#orStuck(number, journal.readSegment(number));
    let moved = 0;
    let batch: Moving[] = [];
    let bodyBytes = 0;
    let headBytes = 0;
    let sinceTurn = { frames: 0, headBytes: 0 };
    for (const frame of readFrames(segment, markers(number))) {
      if (!("items" in frame)) continue;
      sinceTurn.frames += 1;
      sinceTurn.headBytes += frame.bodiesAt - frame.at;
      if (sinceTurn.frames >= framesPerTurn || sinceTurn.headBytes >= headBytesPerTurn) {
        await turn();
        sinceTurn = { frames: 0, headBytes: 0 };
      }
      for await (const each of this.#countingIn(number, segment, frame)) {
        batch.push(each);
        bodyBytes += each.body?.length ?? 0;
        headBytes += each.headBytes;
        if (bodyBytes < bodyBytesMax && headBytes < headBytesMax) continue;
        moved += await this.#write(batch);
        batch = [];
        bodyBytes = 0;
        headBytes = 0;
      }
    }
    moved += await this.#write(batch);
    return moved > 0;
  }

  async #orStuck<T>(number: number, reading: Promise<T>): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      this.#stuck.add(number);
      throw error;
    }
  }

  /** What of a frame still counts: a message that is here, with its state; a state that is here without its message. */
  async *#countingIn(number: number, segment: Buffer, frame: Read): AsyncGenerator<Moving> {
    const { places } = this.#options;
    let bodyAt = frame.bodiesAt;
    for (const item of frame.items) {
      const body = "accept" in item ? segment.subarray(bodyAt, bodyAt + item.bytes) : undefined;
      bodyAt += body?.length ?? 0;
      const id = idOf(item);
      const place = id === undefined ? undefined : places.get(id);
      if (id === undefined || place === undefined) continue;
      const { stateAt, stateSegment, stateBytes } = place;
      const isStateHere = stateSegment === number && stateAt === frame.at;
      const common = { id, place, stateAt, stateSegment };
      if ("accept" in item && place.segment === number && place.at === frame.at)
        yield {
          ...common,
          item: await this.#orStuck(number, this.#withState(id, asFound(item, body, place), place)),
          body,
          headBytes: place.bytes - (body?.length ?? 0) + stateBytes,
        };
      else if ("update" in item && isStateHere && place.segment !== number)
        yield { ...common, item, body: undefined, headBytes: stateBytes };
    }
  }

  /** The state goes where the message goes: a message that is read again begins anew without it. */
  async #withState(id: string, item: Accepted, { stateSegment, stateAt }: Place): Promise<Item> {
    if (stateSegment === undefined) return item;
    const position = { segment: stateSegment, at: stateAt };
    const frame = await this.#options.journal.readHead(position);
    const found = frame?.items.findLast((each) => "update" in each && each.update === id);
    if (found === undefined || !("state" in found))
      throw new Error(`the state of ${id} is not where it was written`);
    return { ...item, state: found.state };
  }

  /** Those that nobody has changed meanwhile; how many. */
  async #write(batch: readonly Moving[]): Promise<number> {
    const { places, journal } = this.#options;
    const now = batch.filter(({ id, place, stateAt, stateSegment }) => {
      const isSame = places.get(id) === place && place.changes === 0;
      return isSame && place.stateAt === stateAt && place.stateSegment === stateSegment;
    });
    if (now.length === 0) return 0;
    const bodies = now.flatMap(({ body }) => (body === undefined ? [] : [body]));
    const frame = makeFrame(
      now.map(({ item }) => item),
      bodies,
    );
    await journal.append(frame, (position) => this.#settle(now, frame, position));
    return now.length;
  }

  #settle(moved: readonly Moving[], frame: Frame, { segment, at }: Position): void {
    const { places } = this.#options;
    let bodyAt = at + frame.head.length;
    for (const [index, { id, body, place }] of moved.entries()) {
      const itemBytes = frame.itemBytes[index] ?? 0;
      if (body === undefined) places.updated(id, { segment, at, bytes: itemBytes });
      else {
        const bytes = body.length + itemBytes;
        places.accepted(id, { segment, at, bodyAt, bytes, file: place.file });
        bodyAt += body.length;
      }
    }
  }
}

/**
 * A body that is damaged already does not make its new frame one that was never wholly written, and a file that has
 * become another's stays the other's.
 */
function asFound(item: Accepted, body: Uint8Array | undefined, { file }: Place): Accepted {
  if (body === undefined || body.length === 0) return { ...item, file: file ?? undefined };
  const crc = checksum(body);
  return crc === (item.accept as { crc: number }).crc ? item : { ...item, crc };
}

function idOf(item: Item): string | undefined {
  if ("accept" in item) return (item.accept as { id: string }).id;
  return "update" in item ? item.update : undefined;
}
