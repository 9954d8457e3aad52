/**
 * Where each message is in the journal, and what of each segment still counts: pure. A segment in which nothing
 * counts may be dropped, but for the removals in it whose messages an older segment still has.
 */

export type Place = {
  readonly segment: number;
  /** Of the frame that accepted it. */
  readonly at: number;
  /** Of its body; meaningless where that is a file. */
  readonly bodyAt: number;
  /** The file that its body is; undefined where it is in the journal, null where the file is another's by now. */
  file: string | null | undefined;
  /** What it takes there: a list of thousands of recipients is more than most bodies. */
  readonly bytes: number;
  /** The oldest segment that may have it, too. */
  oldest: number;
  /** Where its state is, when it has one of its own. */
  stateSegment: number | undefined;
  stateAt: number;
  stateBytes: number;
  /** Its removal, or another state, is on its way to disk. */
  changes: number;
};

/** Messages that a segment says are finished, by the segments between which they may still be found. */
export type Removals = { readonly oldest: number; readonly newest: number; readonly ids: string[] };

type Segment = {
  bytes: number;
  /** Messages and states that count, and their octets. */
  live: number;
  liveBytes: number;
  readonly removals: Map<string, Removals>;
};

/** What says that a message is finished is about so long. */
const removalBytes = 70;
/** Carrying removals on must be worth it, or segments of nothing else would be written for ever. */
const carriedShareMax = 0.25;

export class Places {
  readonly #places = new Map<string, Place>();
  readonly #segments = new Map<number, Segment>();
  readonly #arriving = new Set<string>();
  /** Whose each file is. */
  readonly #owners = new Map<string, string>();
  #bytes = 0;
  #liveBytes = 0;
  #hasEmptied = false;

  get(id: string): Place | undefined {
    return this.#places.get(id);
  }

  get size(): number {
    return this.#places.size;
  }

  has(id: string): boolean {
    return this.#places.has(id);
  }

  /** Names of the files that are bodies. */
  get files(): ReadonlySet<string> {
    return new Set(this.#owners.keys());
  }

  /** Octets of all segments, and of those that count. */
  get bytes(): number {
    return this.#bytes;
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** The segment has grown to so many octets; also one that is new. */
  grown(number: number, bytes: number): void {
    const segment = this.#segment(number);
    this.#bytes += bytes - segment.bytes;
    segment.bytes = bytes;
  }

  /** A change of it is on its way to disk; until `changed`. What is not here yet has nobody to say so to. */
  changing(id: string): boolean {
    const place = this.#places.get(id);
    if (place === undefined) return false;
    place.changes += 1;
    return true;
  }

  changed(id: string): void {
    const place = this.#places.get(id);
    if (place !== undefined) place.changes -= 1;
  }

  /** It is on its way to disk for the first time, or once more; until `arrived`, whether it gets there or not. */
  arriving(id: string): void {
    this.#arriving.add(id);
  }

  arrived(id: string): void {
    this.#arriving.delete(id);
  }

  /** A message that is new, or has been written again. */
  accepted(id: string, place: Pick<Place, "segment" | "at" | "bodyAt" | "bytes" | "file">): void {
    const before = this.#places.get(id);
    if (before !== undefined) this.#leave(before);
    if (before?.file != null && before.file !== place.file) this.#disown(before.file, id);
    if (place.file != null) this.#own(place.file, id);
    const oldest = before?.oldest ?? place.segment;
    const changes = before?.changes ?? 0;
    const { segment, at, bodyAt, bytes, file } = place;
    this.#places.set(id, {
      ...{ segment, at, bodyAt, bytes, file, oldest },
      ...{ stateSegment: undefined, stateAt: 0, stateBytes: 0, changes },
    });
    this.#count(segment, 1, bytes);
  }

  /** Who came last has it: where the end of an earlier one cannot be read any more, that one's body is gone. */
  #own(file: string, id: string): void {
    const before = this.#owners.get(file);
    const place = before === undefined || before === id ? undefined : this.#places.get(before);
    if (place?.file === file) place.file = null;
    this.#owners.set(file, id);
  }

  #disown(file: string, id: string): void {
    if (this.#owners.get(file) === id) this.#owners.delete(file);
  }

  updated(id: string, state: { segment: number; at: number; bytes: number }): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#leaveState(place);
    place.stateSegment = state.segment;
    place.stateAt = state.at;
    place.stateBytes = state.bytes;
    this.#count(state.segment, 1, state.bytes);
  }

  removed(id: string, segment: number): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#leave(place);
    this.#places.delete(id);
    if (place.file != null) this.#disown(place.file, id);
    if (place.oldest !== segment) this.#addRemovals(segment, place.oldest, place.segment, [id]);
  }

  /** Removals that another segment has to carry, before this one is dropped. */
  removalsIn(number: number): Removals[] {
    const { removals } = this.#segment(number);
    return [...removals.values()].filter((each) => this.#isAnyBetween(each.oldest, each.newest));
  }

  /**
   * As `removalsIn`, without those that have come again since, from another relay: to say once more that they are gone
   * would remove what is there now. Their end will be said of the old place, too. Undefined while one is on its way.
   */
  removalsToCarry(number: number): Removals[] | undefined {
    const removals = this.removalsIn(number);
    if (removals.some(({ ids }) => ids.some((id) => this.#arriving.has(id)))) return undefined;
    return removals.flatMap(({ oldest, newest, ids }) => {
      const gone = ids.filter((id) => {
        const place = this.#places.get(id);
        if (place !== undefined) place.oldest = Math.min(place.oldest, oldest);
        return place === undefined;
      });
      return gone.length > 0 ? [{ oldest, newest, ids: gone }] : [];
    });
  }

  /** `segment` says it now: should `from` have to stay, it need not be said once more. */
  carried(removals: readonly Removals[], from: number, segment: number): void {
    this.#segment(from).removals.clear();
    for (const { oldest, newest, ids } of removals) this.#addRemovals(segment, oldest, newest, ids);
  }

  #addRemovals(segment: number, oldest: number, newest: number, ids: readonly string[]): void {
    const { removals } = this.#segment(segment);
    const key = `${oldest} ${newest}`;
    const group = removals.get(key);
    if (group === undefined) removals.set(key, { oldest, newest, ids: [...ids] });
    else for (const id of ids) group.ids.push(id);
  }

  dropped(number: number): void {
    this.#bytes -= this.#segment(number).bytes;
    this.#segments.delete(number);
  }

  /** Whether in some segment nothing counts any more, since this was last asked. */
  takeEmptied(): boolean {
    const hasEmptied = this.#hasEmptied;
    this.#hasEmptied = false;
    return hasEmptied;
  }

  /** Segments in which nothing counts, and that say of few others what is gone, oldest first. */
  droppable(): number[] {
    const found: number[] = [];
    for (const [number, { live, bytes }] of this.#segments) {
      if (live > 0) continue;
      const carried = this.removalsIn(number).reduce((sum, { ids }) => sum + ids.length, 0);
      if (carried * removalBytes <= bytes * carriedShareMax) found.push(number);
    }
    return found.sort((a, b) => a - b);
  }

  /** Whether something in it counts. */
  counts(number: number): boolean {
    return (this.#segments.get(number)?.live ?? 0) > 0;
  }

  /** Of segments in which something counts, that with the smallest part that does. */
  sparsest(isEligible: (number: number) => boolean): number | undefined {
    let best: number | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const [number, { bytes, live, liveBytes }] of this.#segments) {
      if (live === 0 || !isEligible(number) || liveBytes / bytes >= least) continue;
      best = number;
      least = liveBytes / bytes;
    }
    return best;
  }

  #isAnyBetween(oldest: number, newest: number): boolean {
    if (this.#segments.has(newest)) return true;
    if (oldest === newest) return false;
    for (const number of this.#segments.keys())
      if (number >= oldest && number <= newest) return true;
    return false;
  }

  #leave(place: Place): void {
    this.#count(place.segment, -1, -place.bytes);
    this.#leaveState(place);
  }

  #leaveState({ stateSegment, stateBytes }: Place): void {
    if (stateSegment !== undefined) this.#count(stateSegment, -1, -stateBytes);
  }

  #count(number: number, live: number, bytes: number): void {
    const segment = this.#segment(number);
    segment.live += live;
    segment.liveBytes += bytes;
    this.#liveBytes += bytes;
    if (segment.live === 0) this.#hasEmptied = true;
  }

  #segment(number: number): Segment {
    let segment = this.#segments.get(number);
    if (segment === undefined) {
      segment = { bytes: 0, live: 0, liveBytes: 0, removals: new Map() };
      this.#segments.set(number, segment);
    }
    return segment;
  }
}
