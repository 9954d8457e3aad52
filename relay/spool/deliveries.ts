/**
 * Which messages are being delivered, in a file that outlives the process: so the next one knows at which it
 * died. Adapter: slots of fixed size, written without a sync, as the kernel keeps what a dead process has
 * written; after a loss of power there is no blame to lay. Best effort: a disk that takes no write stops no mail.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Phase } from "../outcome.ts";

const fileName = "deliveries";
/** An id, padded with spaces, and at the end whether it only waits for its host. */
const slotBytes = 64;
const idBytes = slotBytes - 1;
const tidyAfterMs = 200;
const waitsMark = "w";

export type Left = { readonly id: string; readonly phase: Phase };

export type Deliveries = {
  /** What was under way when the process before this one died, each message once. */
  readonly left: readonly Left[];
  /** Called before the message is touched. */
  begin(id: string): Mark;
  /** In good order: nothing is left. */
  close(): void;
};

export type Mark = {
  /** It works until it says something else. */
  readonly phase: (phase: Phase) => void;
  readonly ended: () => void;
};

/** Throws where the directory cannot be written. */
export function openDeliveries(directory: string): Deliveries {
  const path = join(directory, fileName);
  const left = leftIn(path);
  const file = openSync(path, "w", 0o600);
  const free: number[] = [];
  /** Slots that are free and still carry an id. */
  const stale = new Set<number>();
  /** Slots that wait, and do not say so yet; and those that do. */
  const waiting = new Set<number>();
  const waitingOnDisk = new Set<number>();
  let slots = 0;
  let tidying: NodeJS.Timeout | undefined;
  const write = (text: string, at: number): void => {
    try {
      writeSync(file, text, at);
    } catch {
      // Full, or gone: mail goes on without it.
    }
  };
  const writeSlot = (slot: number, id: string): void =>
    write(id.slice(0, idBytes).padEnd(slotBytes), slot * slotBytes);
  const writePhase = (slot: number, mark: string): void => write(mark, slot * slotBytes + idBytes);
  const tidy = (): void => {
    tidying = undefined;
    for (const slot of stale) writeSlot(slot, "");
    stale.clear();
    for (const slot of waiting) {
      writePhase(slot, waitsMark);
      waitingOnDisk.add(slot);
    }
    waiting.clear();
  };
  // Most slots are taken again at once, and most waits are over at once: then there is nothing to tidy.
  const tidySoon = (): void => {
    tidying ??= setTimeout(tidy, tidyAfterMs).unref();
  };
  const works = (slot: number): void => {
    waiting.delete(slot);
    if (waitingOnDisk.delete(slot)) writePhase(slot, " ");
  };
  return {
    left,
    begin(id) {
      const slot = free.pop() ?? slots++;
      stale.delete(slot);
      writeSlot(slot, id);
      return {
        phase(phase) {
          if (phase === "works") {
            works(slot);
            return;
          }
          waiting.add(slot);
          tidySoon();
        },
        ended() {
          waiting.delete(slot);
          waitingOnDisk.delete(slot);
          free.push(slot);
          stale.add(slot);
          tidySoon();
        },
      };
    },
    close() {
      clearTimeout(tidying);
      try {
        ftruncateSync(file, 0);
      } catch {
        // As above.
      }
      closeSync(file);
      rmSync(path, { force: true });
    },
  };
}

/** Of one that is there twice, where it works counts. */
function leftIn(path: string): Left[] {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch {
    return [];
  }
  const phases = new Map<string, Phase>();
  for (const slot of text.match(new RegExp(`.{1,${slotBytes}}`, "gs")) ?? []) {
    const id = slot.slice(0, idBytes).trim();
    const phase = slot[idBytes] === waitsMark ? "waits" : "works";
    if (id !== "" && phases.get(id) !== "works") phases.set(id, phase);
  }
  return [...phases].map(([id, phase]) => ({ id, phase }));
}
