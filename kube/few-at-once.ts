/** Work on many items, a few of them at a time. Loop; it knows nothing of the work. */

/** Rejects with the first error once nothing is under way any more; what had not begun by then never does. */
export async function fewAtOnce<T>(
  items: Iterable<T>,
  atOnceMax: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items[Symbol.iterator]();
  const errors: unknown[] = [];
  const worker = async (): Promise<void> => {
    while (errors.length === 0) {
      const next = waiting.next();
      if (next.done === true) return;
      await work(next.value).catch((error: unknown) => errors.push(error));
    }
  };
  await Promise.all(Array.from({ length: atOnceMax }, worker));
  if (errors.length > 0) throw errors[0];
}
