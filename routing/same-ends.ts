/** Where two versions of a list differ: pure. Lists of ten thousands, of which one item has changed. */

/** How many items at the head, and how many at the tail, are the same. */
export function sameEnds<T>(
  a: readonly T[],
  b: readonly T[],
  isSame: (a: T, b: T) => boolean = () => false,
): { readonly head: number; readonly tail: number } {
  const most = Math.min(a.length, b.length);
  const same = (left: T, right: T): boolean => left === right || isSame(left, right);
  let head = 0;
  while (head < most && same(a[head] as T, b[head] as T)) head += 1;
  let tail = 0;
  while (tail < most - head && same(a[a.length - 1 - tail] as T, b[b.length - 1 - tail] as T))
    tail += 1;
  return { head, tail };
}
