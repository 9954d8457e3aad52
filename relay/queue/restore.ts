/**
 * What an earlier process left, taken over by the queue. Loop: it reads the whole spool once, holds what must not
 * go by itself (everything of a spool that was put back, and a message at which the process died three times),
 * and has that on disk before the message is the queue's.
 */
import type { Change } from "../spool/changes.ts";
import type { Left } from "../spool/deliveries.ts";
import type { Held } from "../spool/records.ts";
import type { Spool, Stored } from "../spool/spool.ts";
import { Compactor } from "./compact.ts";
import { Slices } from "./slices.ts";

export type RestoreOptions = {
  readonly spool: Pick<Spool, "list" | "commit" | "setAside">;
  readonly take: (stored: Stored) => void;
  /** Why everything is held; undefined: it is not. */
  readonly hold: string | undefined;
  /** Messages at which the process before this one died. */
  readonly diedAt: readonly string[];
  readonly now: () => number;
  readonly events: {
    /** What cannot be read is moved away. */
    corrupt(id: string): void;
    /** It could not be moved, and stays where it is. */
    unsaved(error: unknown): void;
    held(id: string, why: string): void;
  };
};

/** Why nothing of a spool goes by itself; undefined: all of it does. */
export function reasonToHold(
  spool: Pick<Spool, "isPutBack">,
  { startHeld }: { readonly startHeld: boolean },
): string | undefined {
  if (startHeld) return "spool.startHeld: everything that was there at the start waits";
  return spool.isPutBack()
    ? "the spool was put back from a copy, and what is in it may have been delivered since"
    : undefined;
}

/**
 * At which of the messages under way the process is taken to have died: those that were worked on. One that only
 * waited for its host is blamed where nothing was worked on: a host that is silent for minutes is there at each death.
 */
export function blamed(left: readonly Left[]): string[] {
  const atWork = left.filter(({ phase }) => phase === "works");
  return (atWork.length > 0 ? atWork : left).map(({ id }) => id);
}

const deathsMax = 3;
const stateLost =
  "its state on disk was damaged: who has got it already is not known, and to release it sends it to all";
const messagesPerSlice = 500;

/** Messages that the queue has taken over. Rejects with SpoolError where what is held could not be written. */
export async function restore(options: RestoreOptions): Promise<number> {
  const { spool, take, events } = options;
  const diedAt = new Set(options.diedAt);
  let count = 0;
  let slice: Stored[] = [];
  let changes: Change[] = [];
  const compactor = new Compactor();
  const slices = new Slices();
  const flush = async (): Promise<void> => {
    if (changes.length > 0) await spool.commit(changes);
    for (const each of slice) take(each);
    slice = [];
    changes = [];
    await slices.next();
  };
  for (const stored of spool.list(events.corrupt)) {
    const now = takenOver(stored, options, diedAt);
    slice.push(compactor.compact(now));
    if (now !== stored) changes.push({ kind: "update", id: now.envelope.id, state: now.state });
    if (now.state.held !== undefined && stored.state.held === undefined)
      events.held(now.envelope.id, now.state.held.why);
    count += 1;
    if (slice.length === messagesPerSlice || slices.isOver) await flush();
  }
  await flush();
  await spool.setAside().catch(events.unsaved);
  return count;
}

function takenOver(
  stored: Stored,
  { hold, now }: RestoreOptions,
  diedAt: ReadonlySet<string>,
): Stored {
  const { envelope, state, isStateLost = false } = stored;
  const deaths = (state.deaths ?? 0) + (diedAt.has(envelope.id) ? 1 : 0);
  const died =
    deaths >= deathsMax ? `the relay died ${deaths} times while it delivered this message` : hold;
  const why = isStateLost ? stateLost : died;
  const held: Held | undefined =
    state.held ?? (why === undefined ? undefined : { sinceMs: now(), why });
  if (deaths === (state.deaths ?? 0) && held === state.held) return stored;
  return { envelope, state: { ...state, held, deaths } };
}
