/**
 * All records of a database in the order of their keys, a page at a time: adapter over LMDB's ranges. Each page begins
 * after the last one's key, so what is removed meanwhile hides nothing (a cursor that is not on a snapshot leaves out
 * the record after one that is removed under it), and no snapshot keeps the file from using its space again.
 */
import type { Database } from "lmdb";

const recordsPerPage = 100;

export type Row = { readonly key: string; readonly value: Buffer };

export function* pagewise(database: Database<Buffer, string>): Generator<Row> {
  let after: string | undefined;
  for (;;) {
    const from = after === undefined ? {} : { start: after, exclusiveStart: true };
    const page = [...database.getRange({ ...from, limit: recordsPerPage })];
    yield* page;
    after = page.at(-1)?.key;
    if (after === undefined) return;
  }
}
