/**
 * A bounded cache of answers with a time to live, the least recently used going first, in which
 * look-ups of the same name at the same time are one look-up. The clock is passed in.
 */

export type Kept<Value> = { readonly value: Value; readonly ttlMs: number };

export class NameCache<Value> {
  private readonly entries = new Map<string, { value: Promise<Value>; untilMs: number }>();
  private readonly entriesMax: number;
  private readonly now: () => number;

  constructor(options: { readonly entriesMax: number; readonly now: () => number }) {
    this.entriesMax = options.entriesMax;
    this.now = options.now;
  }

  /** `lookUp` must not reject. */
  get(name: string, lookUp: (name: string) => Promise<Kept<Value>>): Promise<Value> {
    const known = this.entries.get(name);
    if (known !== undefined && this.now() < known.untilMs) {
      this.entries.delete(name);
      this.entries.set(name, known);
      return known.value;
    }
    const entry = { value: this.keep(name, lookUp), untilMs: Number.POSITIVE_INFINITY };
    this.entries.delete(name);
    this.entries.set(name, entry);
    const oldest = this.entries.keys().next();
    if (this.entries.size > this.entriesMax && !oldest.done) this.entries.delete(oldest.value);
    return entry.value;
  }

  private async keep(name: string, lookUp: (name: string) => Promise<Kept<Value>>): Promise<Value> {
    const { value, ttlMs } = await lookUp(name);
    const entry = this.entries.get(name);
    if (entry?.untilMs === Number.POSITIVE_INFINITY) entry.untilMs = this.now() + ttlMs;
    return value;
  }
}
