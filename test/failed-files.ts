/** A reporter for Node's test runner: the files with tests that failed, a line each. */
import type { TestEvent } from "node:test/reporters";

// biome-ignore lint/style/noDefaultExport: Node asks a reporter's module for it
export default async function* failedFiles(
  events: AsyncIterable<TestEvent>,
): AsyncGenerator<string> {
  const told = new Set<string>();
  for await (const { type, data } of events) {
    if (type !== "test:fail" || data.file === undefined || told.has(data.file)) continue;
    told.add(data.file);
    yield `${data.file}\n`;
  }
}
