/** Text that others wrote, and that should be JSON. Pure. */

/** Undefined where it is none; what it says is for a schema to check. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
