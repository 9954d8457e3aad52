/** Waits for what happens, and not for so many milliseconds, which a busy machine makes too few. */
import assert from "node:assert/strict";

const msMax = 10_000;

/** Fails where it does not hold in ten seconds. */
export async function until(holds: () => boolean): Promise<void> {
  for (const endMs = Date.now() + msMax; !holds(); ) {
    assert.ok(Date.now() < endMs, `not in time: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
