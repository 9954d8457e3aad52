/**
 * What makes a whole table unusable: the reader keeps the one it has. Names the place; the cause is the
 * error below it.
 */
export class TableError extends Error {
  override readonly name = "TableError";
}

/** A JSON object; throws TableError. */
export function readJson(text: string, place: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TableError(`${place}: is not JSON`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TableError(`${place}: is not a JSON object`);
  }
  return value as Record<string, unknown>;
}

/** Version N reads N-1; there is no 0, so for now only this one. */
export function checkFormat(value: unknown, place: string, newest: number): void {
  if (value === newest) return;
  if (typeof value === "number" && value > newest) {
    throw new TableError(
      `${place}: format ${value} is newer than this version reads (${newest}): upgrade the relays first`,
    );
  }
  throw new TableError(`${place}: format ${JSON.stringify(value) ?? "is missing"} is not readable`);
}
