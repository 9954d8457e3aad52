/**
 * Remembers a pure function's answer for an object as long as the object lives: watchers hand over the
 * same object until the resource changes, so a compile parses only what is new.
 */
export function memoized<A, T extends object>(parse: (raw: A) => T): (raw: A) => T {
  const known = new WeakMap<object, T>();
  return (raw) => {
    if (typeof raw !== "object" || raw === null) return parse(raw);
    const before = known.get(raw);
    if (before !== undefined) return before;
    const answer = parse(raw);
    known.set(raw, answer);
    return answer;
  };
}
