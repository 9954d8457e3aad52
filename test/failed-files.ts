/**
 * A reporter for Node's test runner: the files with tests that failed, a line each, and a last line that says that this
 * is all. For test/all.ts, which runs them again.
 */
import type { TestEvent } from "node:test/reporters";

export const endLine = "end";

// biome-ignore lint/style/noDefaultExport: Node asks a reporter's module for it
export default async function* failedFiles(
  events: AsyncIterable<TestEvent>,
): AsyncGenerator<string> {
  const seen = new Set<string>();
  for await (const { type, data } of events) {
    if (type !== "test:fail") continue;
    if (data.file === undefined) return; // it cannot be run again: this is not all
    if (seen.has(data.file)) continue;
    seen.add(data.file);
    yield `${data.file}\n`;
  }
  yield `${endLine}\n`;
}
