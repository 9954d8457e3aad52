/**
 * Which messages are being delivered, in a file that outlives the process: so the next one knows at which it
 * died. Adapter: slots of fixed size, written without a sync, as the kernel keeps what a dead process has
 * written; after a loss of power there is no blame to lay. Best effort: a disk that takes no write stops no mail.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

const fileName = "deliveries";
/** An id, padded with spaces. */
const slotBytes = 64;
const clearAfterMs = 200;

export type Deliveries = {
  /** The messages at which the process before this one died, each once. */
  readonly left: readonly string[];
  /** Called before the message is touched; what it returns is called when that has ended. */
  begin(id: string): () => void;
  /** In good order: nothing is left. */
  close(): void;
};

/** Throws where the directory cannot be written. */
export function openDeliveries(directory: string): Deliveries {
  const path = join(directory, fileName);
  const left = leftIn(path);
  const file = openSync(path, "w", 0o600);
  const free: number[] = [];
  /** Slots that are free and still carry an id. */
  const stale = new Set<number>();
  let slots = 0;
  let clearing: NodeJS.Timeout | undefined;
  const write = (slot: number, id: string): void => {
    try {
      writeSync(file, id.padEnd(slotBytes).slice(0, slotBytes), slot * slotBytes);
    } catch {
      // Full, or gone: mail goes on without the journal.
    }
  };
  const clear = (): void => {
    clearing = undefined;
    for (const slot of stale) write(slot, "");
    stale.clear();
  };
  return {
    left,
    begin(id) {
      const slot = free.pop() ?? slots++;
      stale.delete(slot);
      write(slot, id);
      return () => {
        free.push(slot);
        stale.add(slot);
        // Most slots are taken again at once: then there is nothing to clear.
        clearing ??= setTimeout(clear, clearAfterMs).unref();
      };
    },
    close() {
      clearTimeout(clearing);
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

function leftIn(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch {
    return [];
  }
  const slots = text.match(new RegExp(`.{1,${slotBytes}}`, "gs")) ?? [];
  return [...new Set(slots.map((slot) => slot.trim()).filter((id) => id !== ""))];
}
